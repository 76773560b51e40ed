"""Prometheus counters of one server."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest


class Metrics:
    """Held by the app, not by the module: two apps in one process (tests) must not share counters."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "mild_http_requests", "HTTP requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.jobs = Counter("mild_jobs", "Jobs by how they ended", ["kind", "state"], registry=self.registry)
        self.seconds = Histogram(
            "mild_job_seconds", "Time of jobs that were done", ["kind"], registry=self.registry,
            buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000),
        )  # fmt: skip
        #: Running mean, for Retry-After.
        self.typical_seconds = 2.0

    def took(self, kind: str, seconds: float) -> None:
        self.seconds.labels(kind).observe(seconds)
        self.typical_seconds += 0.2 * (seconds - self.typical_seconds)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        Gauge(name, text, registry=self.registry).set_function(value)

    def render(self) -> bytes:
        return generate_latest(self.registry)
