"""What operations see of a record."""

import pytest

from workers import ray_metrics


class Recorder:
    """Stands for each kind of Ray's metrics."""

    seen: dict[tuple[str, str], list[float]]

    def __init__(self, name, description, tag_keys=(), boundaries=()):
        assert name.startswith("metaopt_")
        assert description
        self.name, self.tag_keys = name, tag_keys

    def observe(self, value=1.0, tags={}):
        assert tuple(tags) == self.tag_keys
        key = self.name.removeprefix("metaopt_"), "".join(tags.values())
        self.seen.setdefault(key, []).append(value)

    inc = set = observe


@pytest.fixture
def seen(monkeypatch):
    Recorder.seen = {}
    for kind in ("Counter", "Gauge", "Histogram"):
        monkeypatch.setattr(ray_metrics, kind, Recorder)
    return Recorder.seen


def test_a_record_is_counted_once(seen):
    sink = ray_metrics.RayMetrics()
    sink.write(
        {
            "inner_steps_per_second": 50.0,
            "seconds": 2.0,
            "compile_seconds": 0.0,
            "used_by_staleness": {"0": 2, "3": 1},
            "dropped": {"lost": 1},
            "workers": {"running": 4, "suspect": 0},
        }
    )
    assert seen == {
        ("outer_steps_total", ""): [1.0],
        ("inner_steps_total", ""): [100.0],
        ("estimates_total", "used"): [3],
        ("estimates_total", "lost"): [1],
        ("estimate_staleness", ""): [0.0, 0.0, 3.0],
        ("workers", "running"): [4],
        ("workers", "suspect"): [0],
    }


@pytest.mark.ray
def test_ray_takes_the_names(ray_address):
    ray_metrics.RayMetrics()
