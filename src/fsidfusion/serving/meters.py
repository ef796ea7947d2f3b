"""What the service counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from fsidfusion.serving.desk import Desk, Work

MEDIA_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Meters:
    """Counters of one service."""

    def __init__(self, desk: Desk) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "fsidfusion_requests", "answered requests", ("route", "status"), registry=self.registry
        )
        self.pairs = Counter(
            "fsidfusion_pairs", "pairs by what became of them", ("outcome",), registry=self.registry
        )
        self.steps = Histogram(
            "fsidfusion_step_seconds", "seconds of each step of a pair", ("step",), buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        for name, about, value in (
            (
                "fsidfusion_places_taken",
                "requests that are sending, waiting or computing",
                lambda: desk.taken,
            ),
            ("fsidfusion_places", "requests that may be so at once", lambda: desk.places),
            ("fsidfusion_pairs_waiting", "pairs in the queue", lambda: desk.waiting),
        ):
            Gauge(name, about, registry=self.registry).set_function(value)

    def count(self, work: Work, outcome: str) -> None:
        """One pair is over."""
        self.pairs.labels(outcome).inc()
        for step, seconds in work.seconds.items():
            self.steps.labels(step).observe(seconds)

    def page(self) -> bytes:
        """All of them in the text format of Prometheus."""
        return generate_latest(self.registry)
