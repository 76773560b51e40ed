"""What a working process does: wait for a task, do it, answer; end when the server is gone.

``python -m mild.app.server.process FD ROAD STATE MEMORY``, started by ``hands.py``, never by hand.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mild.app.server import starting
from mild.app.server.settings import Settings
from mild.errors import Cancelled, MildError, UsageError

if TYPE_CHECKING:
    from mild.app.server.tasks import Tasks

log = logging.getLogger("mild.app.server")
#: Seconds between two words of progress.
PAUSE = 0.05
Inbox = queue.SimpleQueue["tuple[str, tuple[Any, ...]] | None"]


def work(line: Connection, road: Any, settings: Settings) -> None:
    """Do tasks until the line is closed."""
    from mild.app.server.tasks import BadBody, Tasks, TooLarge

    known = (MildError, UsageError, Cancelled, TooLarge, BadBody)
    stop = threading.Event()
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(line, inbox, stop), daemon=True).start()
    said = 0.0, ""

    def progress(stage: str, share: float) -> None:
        nonlocal said
        if stop.is_set():
            raise Cancelled
        if stage != said[1] or time.monotonic() - said[0] > PAUSE:
            said = time.monotonic(), stage
            line.send(("progress", (stage, float(share), getattr(share, "remaining", None))))

    tasks = Tasks(road, settings, progress)
    with contextlib.suppress(OSError):
        while (item := _next(inbox, tasks)) is not None:
            name, arguments = item
            stop.clear()
            try:
                answer = "done", tasks.do(name, arguments)
            except MemoryError:
                answer = "NoMemory", "There is not enough memory for this photo; send a smaller one."
            except MildError as error:
                kind = next((k.__name__ for k in reversed(known) if isinstance(error, k)), "MildError")
                answer = ("NoSpace" if _disk_is_full(error) else kind), str(error)
            except Exception as error:
                if _disk_is_full(error):
                    answer = "NoSpace", "The server's disk is full; nothing was written."
                else:
                    log.exception("task %s", name)
                    answer = "Broken", "The job failed unexpectedly; the server's log says where."
            line.send(answer)
    tasks.close()


def _next(inbox: Inbox, tasks: Tasks) -> tuple[str, tuple[Any, ...]] | None:
    """The next task; until one comes, what it may want is prepared, a piece at a time."""
    while True:
        with contextlib.suppress(queue.Empty):
            return inbox.get_nowait()
        if not tasks.prepare():
            return inbox.get()


def _listen(line: Connection, inbox: Inbox, stop: threading.Event) -> None:
    while True:
        try:
            task, arguments = line.recv()
        except (EOFError, OSError):
            # The server is gone, or has let go of us: a task under way is of no use to anybody any more.
            stop.set()
            inbox.put(None)
            if __name__ == "__main__":
                time.sleep(2.0)
                os._exit(0)
            return
        if task == "cancel":
            stop.set()
        else:
            inbox.put((task, arguments))


def _disk_is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def _limit(memory: int) -> None:
    """Bound what this process may take, and let the system take it first when memory runs out all the same."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    if sys.platform != "linux":
        with contextlib.suppress(OSError):
            os.nice(starting.NICE)  # there it was not settled at the start


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server's affair
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # what it logs must not stop it where it is not in the foreground
    line = Connection(int(sys.argv[1]))
    _limit(int(sys.argv[4]))
    module, _, name = sys.argv[2].partition(":")
    road = getattr(importlib.import_module(module), name)()
    importlib.import_module("mild.app.server.tasks")  # loading must not count against the first task
    try:
        line.send(("ready", None))
    except OSError:
        return  # the server has gone since
    work(line, road, Settings(state=Path(sys.argv[3]), max_memory=int(sys.argv[4])))


if __name__ == "__main__":
    main()
