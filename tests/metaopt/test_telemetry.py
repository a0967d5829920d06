import json
from pathlib import Path

import numpy as np
import pytest

from metaopt import telemetry
from metaopt.aggregate import Aggregate, Dropped, WorkerResult, weighted_mean
from metaopt.estimators.base import Estimate
from metaopt.learner import OuterState, OuterStep


def _result(worker: int, task: str, loss: float, weight: float, outer_step: int = 4):
    estimate = Estimate(
        gradient={"w": np.asarray([3.0, 0.0], np.float32), "b": np.float32(4.0)},
        meta_loss=np.float32(loss),
        weight=np.float32(weight),
        metrics={
            "nonfinite_runs": np.float32(4.0 - weight),
            "squared_norms": np.float32(30.0 * weight),
            "clear_share": np.float32(0.5 * weight),
            "clearest": np.float32(worker * weight),
        },
    )
    return WorkerResult(worker, task, outer_step, estimate, 0.5)


def _outer_step() -> OuterStep:
    explained = _result(0, "a", 1.0, 4.0)._replace(explanation="too long")
    used = (explained, _result(1, "b", 2.0, 2.0), _result(2, "a", 3.0, 2.0, 2))
    mean = weighted_mean([result.estimate for result in used])
    dropped = (Dropped("stale", 3, "b", 5), Dropped("stale", 3, "b", 6))
    lost = (Dropped("late", 4, "a", 0),)
    return OuterStep(OuterState(5, {}, (), {}), Aggregate(mean, used, dropped), lost)


def test_step_record():
    record = telemetry.step_record(
        _outer_step(), seconds=2.0, inner_steps=600, workers={"running": 5, "suspect": 1}
    )
    assert record["step"] == 5
    assert record["meta_loss"] == pytest.approx((4 * 1 + 2 * 2 + 2 * 3) / 8)
    assert record["gradient_norm"] == pytest.approx(5.0)
    assert record["weight"] == 8.0
    assert record["nonfinite_runs"] == 4.0
    assert record["inner_steps_per_second"] == 300.0
    assert record["workers"] == {"running": 5, "suspect": 1}
    assert record["used_by_staleness"] == {"0": 2, "2": 1}
    assert record["staleness"] == 2
    assert record["effective_staleness"] == 2 * 2.0 / 8
    assert record["gradient_noise"]["clear_share"] == 0.5
    assert record["gradient_noise"]["clearest"] == pytest.approx((1 * 2 + 2 * 2) / 8)
    assert record["dropped"] == {"stale": 2, "late": 1}
    assert record["losses"][0] == {"cause": "stale", "worker": 3, "task": "b", "staleness": 5}
    assert record["explanations"] == [{"worker": 0, "task": "a", "explanation": "too long"}]
    assert record["tasks"]["a"]["meta_loss"] == pytest.approx((4 * 1 + 2 * 3) / 6)
    assert record["tasks"]["a"]["nonfinite_runs"] == 2.0
    assert record["tasks"]["b"] == {"meta_loss": 2.0, "nonfinite_runs": 2.0}
    json.dumps(record)


def test_global_norm_does_not_overflow():
    tree = [np.full(4, 2e19, np.float32), np.full((), 0, np.float32)]
    assert telemetry.global_norm(tree) == pytest.approx(4e19)


def test_json_lines_can_be_read_while_they_are_written(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    sink = telemetry.JsonLines(path)
    for step in (1, 2):
        sink.write({"step": step, "tasks": {"a": {"meta_loss": 0.5}}, "losses": []})
        assert [record["step"] for record in telemetry.read(path)] == list(range(1, step + 1))
    sink.close()
    assert telemetry.read(path)[1]["tasks"] == {"a": {"meta_loss": 0.5}}


def test_json_lines_go_on_after_the_checkpoint_and_forget_what_came_later(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4, "met')
    sink = telemetry.JsonLines(path, after_step=2)
    sink.write({"step": 3, "new": True})
    sink.close()
    expected = [{"step": 1}, {"step": 2}, {"step": 3, "new": True}]
    assert telemetry.read(path) == expected
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_numbers_that_json_lacks_become_text(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    sink = telemetry.JsonLines(path)
    sink.write({"step": 1, "validation": {"score": float("inf")}, "list": [float("nan"), 1.0]})
    sink.close()
    strict = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert strict == {"step": 1, "validation": {"score": "inf"}, "list": ["nan", 1.0]}


def test_scalars():
    record = {"step": 3, "a": 1, "tasks": {"mlp:x=1": {"loss": 0.5}}, "losses": [{"worker": 1}]}
    assert dict(telemetry.scalars(record)) == {"a": 1.0, "tasks/mlp:x=1/loss": 0.5}


def test_tensorboard_has_every_scalar_at_its_step(tmp_path: Path):
    sink = telemetry.TensorBoard(tmp_path)
    sink.write({"step": 1, "meta_loss": 0.5, "tasks": {"a": {"meta_loss": 0.25}}})
    sink.write({"step": 2, "meta_loss": 0.75})
    sink.close()
    assert _events(tmp_path) == [
        (1, "meta_loss", 0.5),
        (1, "tasks/a/meta_loss", 0.25),
        (2, "meta_loss", 0.75),
    ]


def _events(folder: Path) -> list[tuple[int, str, float]]:
    from tensorboardX.proto import event_pb2

    (path,) = folder.glob("events.*")
    content, events = path.read_bytes(), []
    while content:  # records: length, its checksum, the event, its checksum
        length = int.from_bytes(content[:8], "little")
        event = event_pb2.Event.FromString(content[12 : 12 + length])
        events += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        content = content[16 + length :]
    return events


def test_records_that_a_full_disk_does_not_take_wait(tmp_path: Path):
    lines = telemetry.JsonLines(tmp_path / "metrics.jsonl")
    lines.write({"step": 1})
    with open("/dev/full", "ab", buffering=0) as full:
        file, lines._file = lines._file, full
        lines.write({"step": 2})
        lines._file = file
    lines.write({"step": 3})
    lines.close()
    assert [r["step"] for r in telemetry.read(tmp_path / "metrics.jsonl")] == [1, 2, 3]
