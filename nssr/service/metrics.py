"""What Prometheus is told: requests, jobs, the library, the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.types import Scope

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 30)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """``facts`` tells jobs by state, functions of the library, finished jobs and their seconds by kind."""

    def __init__(self, facts: Callable[[], dict[str, dict[tuple[str, ...], float]]]) -> None:
        self._registry = CollectorRegistry()
        self._facts = facts
        self._requests = Counter(
            "nssr_requests", "Answers by method, route and status", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "nssr_request_seconds", "Seconds until an answer was over", ("route",), buckets=_SECONDS, registry=self._registry
        )
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._registry.register(self)

    def observe(self, method: str, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")  # the pattern: names of people's data are no labels
        method = method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Called by Prometheus' registry at each scrape."""
        facts = self._facts()
        jobs = GaugeMetricFamily("nssr_jobs", "Jobs by state", labels=["state"])
        for labels, value in facts["jobs"].items():
            jobs.add_metric(labels, value)
        functions = GaugeMetricFamily("nssr_functions", "Functions of the library by kind", labels=["kind"])
        for labels, value in facts["functions"].items():
            functions.add_metric(labels, value)
        finished = CounterMetricFamily("nssr_finished_jobs", "Jobs that ended since the start", labels=["kind", "state"])
        for labels, value in facts["finished"].items():
            finished.add_metric(labels, value)
        seconds = CounterMetricFamily("nssr_job_seconds", "Seconds of jobs that ended since the start", labels=["kind"])
        for labels, value in facts["seconds"].items():
            seconds.add_metric(labels, value)
        yield from (jobs, functions, finished, seconds)

    def describe(self) -> list[Metric]:
        """Nothing is asked at registration, when there may be no library yet."""
        return []

    def text(self) -> bytes:
        return bytes(generate_latest(self._registry))
