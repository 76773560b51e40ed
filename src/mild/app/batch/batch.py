"""A batch: which photos are still to be done, by whom, and what is written down of each."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from mild.app.batch import store
from mild.app.batch.bursts import with_shots
from mild.app.batch.ledger import FINISHED, Ledger
from mild.app.batch.order import Order, Progress, planned
from mild.app.batch.page import write_page
from mild.app.batch.sources import ALSO, Item, items_of
from mild.app.batch.worker import Job, joined
from mild.engines import Done, Engine
from mild.errors import MildError, UsageError
from mild.request import EraseRequest

#: A photo that fails is tried so often.
TRIES = 2
Tell = Callable[["Progress"], None]


class Batch:
    """A batch's run; as a context it is closed at the end.

    Raises:
        UsageError: what is asked for cannot be done; nothing was written.
        MildError: the output cannot be written.
    """

    def __init__(self, order: Order, engine: Engine) -> None:
        self._order, self._engine = order, engine
        self._books = Path(order.setup.books)
        self.progress = Progress()
        self._stamps: dict[str, str] = {}
        self._first: list[Item] | None = self.looked()
        plan = planned(self._first, order)
        for item in self._first:
            self._request(item)  # what is wrong with one is said before any is done
        self._shared()
        fresh = not self.ledger_path.exists()
        if fresh and not (order.force or order.setup.dry):
            for name in plan.values():
                if store.stamp(joined(order.setup.out, name)):
                    raise UsageError(
                        f"{joined(order.setup.out, name)} exists already, and no ledger says that a batch made it; "
                        "name another output, or --force to replace it."
                    )
        try:
            self._books.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MildError(f"The folder {self._books} cannot be made ({error.strerror or error}).") from None
        if order.setup.dry:
            self.ledger_path.unlink(missing_ok=True)
            shutil.rmtree(self._books / order.setup.pictures, ignore_errors=True)
        self.ledger = Ledger(self.ledger_path)
        self._numbered = max((entry.get("number", -1) for entry in self.ledger.entries.values()), default=-1)
        # Nobody else is writing here: what lies in the scratch folder was left by a run that was killed.
        local = order.setup.books if store.is_uri(order.setup.out) else order.setup.out
        self._scratch = Path(local) / ".batch"
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def ledger_path(self) -> Path:
        return self._books / f"{self._order.stem}.jsonl"

    @property
    def page_path(self) -> Path:
        return self._books / f"{self._order.stem}.html"

    def run(self, tell: Tell = lambda progress: None) -> Progress:
        """Do what is not done yet.

        Raises:
            MildError: nothing more can be written; the same command goes on.
        """
        items, self._first = (self._first or self.looked()), None
        self._do(items, tell)
        return self.progress

    def watch(self, tell: Tell, rest: float = 3.0, idle: float | None = None) -> Progress:
        """Keep looking for new photos and do them; those that still change are left until they rest.

        Args:
            rest: seconds for which a file must not have changed.
            idle: seconds after which it ends when nothing new comes; None: it never does.
        """
        since: dict[str, tuple[str, float]] = {}
        tried: dict[str, str] = {}
        quiet = time.monotonic()
        while True:
            try:
                items = self.looked()
            except UsageError:
                items = []  # nothing there yet
            now = time.monotonic()
            ready = []
            for item in items:
                if since.get(item.name, ("", 0.0))[0] != item.stamp:
                    since[item.name] = (item.stamp, now)
                if now - since[item.name][1] >= rest and tried.get(item.name) != item.stamp:
                    ready.append(item)
                    tried[item.name] = item.stamp
            if ready and self._do(ready, tell):
                quiet = time.monotonic()
            if idle is not None and time.monotonic() - quiet >= idle + rest:
                return self.progress
            time.sleep(min(1.0, max(0.05, rest / 3)))

    def looked(self) -> list[Item]:
        """The photos that are there now."""
        found = items_of(self._order.source, self._order.include, self._order.exclude)
        return with_shots(found, self._order.bursts)

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except MildError:
            if error is None:  # otherwise what stopped the batch says more
                raise

    def close(self) -> None:
        """Write the page; let go of the ledger."""
        try:
            write_page(self.page_path, self._order.setup, self._order.source, list(self.ledger.entries.values()))
        finally:
            self.ledger.close()
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _do(self, items: list[Item], tell: Tell) -> bool:
        """Whether there was anything to do."""
        begun, earlier = time.monotonic(), self.progress.seconds
        self._stamps.clear()
        names = planned(items, self._order)
        jobs = []
        for item in items:
            job = self._job(item, names[item.name, item.output])
            if job is None:
                self.progress.before += 1
            else:
                jobs.append((item, job))
        if not self._order.bursts:  # whose finds are remembered for their neighbours
            # The largest first, so that in the end no worker is still busy with one for long.
            jobs.sort(key=lambda job: -store.bytes_in(job[0].stamp))
        self.progress.total += len(jobs)
        tell(self.progress)
        waiting = jobs
        for attempt in range(1, TRIES + 1):
            failed: list[tuple[Item, Job]] = []
            for done in self._engine.run(job for _, job in waiting):
                item, job = waiting[done.index]
                if done.error is not None and attempt < TRIES:
                    failed.append((item, job))
                    continue
                self._write(item, job, done, attempt)
                self.progress.seconds = earlier + time.monotonic() - begun
                tell(self.progress)
            waiting = failed
            if not waiting:
                break
        return bool(jobs)

    def _job(self, item: Item, output: str) -> Job | None:
        """What is to be done for an item; None if it is done."""
        request = self._request(item)
        entry = self.ledger.entries.get(output)
        number = self._next_number() if entry is None else entry.get("number", 0)
        known = ""
        if entry is not None and entry.get("status") in FINISHED and entry.get("request") == self._mark(request, item):
            there = entry.get("result")
            size = store.size_of(joined(self._order.setup.out, output)) if there else None
            if not there or there["size"] == size:
                if entry["input"]["stamp"] == item.stamp:
                    return None
                known = entry["input"]["sha256"]
        return Job(item.name, item.source, output, request, number, known, tuple(place for place, _ in item.shots))

    def _next_number(self) -> int:
        self._numbered += 1
        return self._numbered

    def _request(self, item: Item) -> dict[str, Any]:
        """The whole request of a photo: what was asked of all, and the manifest's own fields over it."""
        fields = dict(self._order.request)
        for name, value in item.fields.items():
            merged = isinstance(value, dict) and isinstance(fields.get(name), dict) and name != "selection"
            fields[name] = fields[name] | value if merged else value
        request = EraseRequest.build(**fields)
        if request.selection.empty:
            raise UsageError(f"Nobody says who goes in {item.name}: give --all, --bystanders, --person, …")
        return request.model_dump(mode="json", exclude_defaults=True)

    def _write(self, item: Item, job: Job, done: Done, attempt: int) -> None:
        entry: dict[str, Any] = {"photo": job.name, "status": "failed", "source": job.source, "output": job.output}
        if done.error is not None:
            entry |= {"error": done.error, "fault": done.fault, "seconds": round(done.seconds, 3)}
            entry["input"] = {"stamp": item.stamp}
        elif done.value["status"] == "stop":
            raise MildError(f"The batch stopped: {done.value['error']} The same command goes on from here.")
        elif done.value["status"] == "same":
            entry = self.ledger.entries[job.output] | {"input": done.value["input"]}
        else:
            entry |= done.value
        entry |= {"request": self._mark(job.request, item), "number": job.number}
        fields = EraseRequest.build(**job.request).shown(exclude_defaults=True)
        entry["fields"] = fields | ({"also": entry["also"]} if entry.get("also") else {})
        entry |= {"attempt": attempt, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        self.ledger.write(entry)
        counts = self.progress.counts
        counts[entry["status"]] = counts.get(entry["status"], 0) + 1

    def _shared(self) -> None:
        """That the files which every photo needs are there is said once, not of every photo."""
        request = self._order.request
        for place in [*request.get(ALSO, ()), *filter(None, [request.get("selection", {}).get("mask")])]:
            if not store.stamp(str(place)):
                raise UsageError(f"There is no file {place}.")

    def _mark(self, request: dict[str, Any], item: Item) -> str:
        """A short hash of all that a result depends on, but for the photo: also of files that the request names."""
        said: dict[str, Any] = {"request": request, "nobody": self._order.setup.nobody}
        named = [*request.get("also", ()), *filter(None, [request.get("selection", {}).get("mask")])]
        stamps = [[place, self._stamp(place)] for place in named] + [list(shot) for shot in item.shots]
        if stamps:
            said["files"] = stamps
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    def _stamp(self, place: str) -> str:
        """Of a file that many photos may share: looked at once a run."""
        if place not in self._stamps:
            self._stamps[place] = store.stamp(place)
        return self._stamps[place]
