"""What a run tells those who watch the cluster: Prometheus metrics, through Ray's own exporter.

For operations only. The history of a run is in its folder.
"""

from ray.util.metrics import Counter, Gauge, Histogram

from metaopt.telemetry import Record

STALENESS = (0.5, 1.5, 2.5, 4.5, 8.5, 16.5, 32.5, 64.5, 128.5)  # between whole outer steps


class RayMetrics:
    """A `metaopt.telemetry.Sink`. Ray puts "ray_" before each name."""

    def __init__(self) -> None:
        self._outer_steps = Counter("metaopt_outer_steps_total", "Outer steps done.")
        self._inner_steps = Counter(
            "metaopt_inner_steps_total", "Inner steps behind the estimates that were used."
        )
        self._estimates = Counter(
            "metaopt_estimates_total",
            "Estimates: used, or why they were not.",
            tag_keys=("outcome",),
        )
        self._staleness = Histogram(
            "metaopt_estimate_staleness",
            "Outer steps between an estimate's weights and its use.",
            boundaries=list(STALENESS),
        )
        self._workers = Gauge("metaopt_workers", "Workers by state.", tag_keys=("state",))
        self._compiling = Counter(
            "metaopt_compile_seconds_total", "Seconds that workers spent on compiling programs."
        )

    def write(self, record: Record) -> None:
        self._outer_steps.inc()
        _add(self._inner_steps, record["inner_steps_per_second"] * record["seconds"])
        _add(self._compiling, record["compile_seconds"])
        ages = record["used_by_staleness"]
        for outcome, count in {"used": sum(ages.values()), **record["dropped"]}.items():
            self._estimates.inc(count, {"outcome": outcome})
        for age, count in ages.items():
            for _ in range(count):
                self._staleness.observe(float(age))
        for state, count in record["workers"].items():
            self._workers.set(count, {"state": state})

    def sync(self) -> None:
        """Ray sends by itself, every few seconds."""

    def close(self) -> None:
        """The metrics end with this process."""


def _add(counter: Counter, value: float) -> None:
    if value > 0:  # Ray refuses to add nothing
        counter.inc(value)
