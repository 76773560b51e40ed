"""Asks a server for its health, over and over: ``python asking.py PORT``; a line of JSON for each answer.

A process of its own with nothing else to do: asked from among the forty clients' threads, an answer waits for theirs.
Where it may, it goes before the others, so that what is measured is the server and not when this process has its turn.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
import time

PAUSE = 0.05


def main() -> None:
    port = int(sys.argv[1])
    with contextlib.suppress(OSError):
        os.nice(-5)
    while True:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        begun = time.monotonic()
        try:
            line.request("GET", "/health")
            answer = line.getresponse()
            body = answer.read()
            took = time.monotonic() - begun
            print(json.dumps([round(took, 4), answer.status, json.loads(body)["status"]]), flush=True)
        except (OSError, http.client.HTTPException):
            pass  # it is being started again
        line.close()
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
