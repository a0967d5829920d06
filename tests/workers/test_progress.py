import io

import pytest
from rich.console import Console

from workers import progress


def _record(step: int, **more):
    return {
        "step": step,
        "meta_loss": 0.5,
        "inner_steps_per_second": 1234.5,
        "workers": {"running": 2, "suspect": 0, "restarting": 1},
        "nonfinite_runs": 1.0,
        "dropped": {"stale": 1},
        **more,
    }


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test moves by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_the_view_counts_and_predicts(clock: list[float]):
    watch = progress.Watch(num_steps=100)
    first = watch.see(_record(11))
    assert first.seconds_left is None
    clock[0] += 4.0
    view = watch.see(_record(13, validation={"score": 0.25, "best": 0.125}))
    assert view.seconds_left == pytest.approx(2.0 * 87)
    items = view.items()
    assert items["outer step"] == "13 of 100"
    assert items["workers"] == "2 running, 1 restarting"
    assert items["dropped"] == "2 stale"
    assert items["non-finite runs"] == "2"
    assert items["time left"] == "2 min 54 s"
    assert items["validation"] == "0.25, best 0.125"
    assert watch.see(_record(14)).items()["validation"] == "0.25, best 0.125"


def test_plain_lines_come_early_then_every_few_seconds_and_at_the_end(clock: list[float]):
    text = io.StringIO()
    lines = progress.progress(100, Console(file=text, width=40))
    assert isinstance(lines, progress.PlainLines)
    for step in range(1, 13):
        lines.write(_record(step))
        clock[0] += 1.0
    lines.close()
    shown = [line.split(" of ")[0] for line in text.getvalue().splitlines()]
    assert shown == [f"outer step {step}" for step in (1, 4, 9, 12)]
    assert "\r" not in text.getvalue()


def test_on_a_terminal_there_is_a_panel():
    text = io.StringIO()
    console = Console(file=text, width=60, force_terminal=True)
    panel = progress.progress(10, console)
    assert isinstance(panel, progress.LivePanel)
    panel.write(_record(3))
    panel.close()
    assert "3 of 10" in text.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.6, "1 min 00 s"), (7265, "2 h 01 min")]
)
def test_duration(seconds: float, text: str):
    assert progress.duration(seconds) == text
