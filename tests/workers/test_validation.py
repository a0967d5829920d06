import numpy as np
import pytest

from metaopt.learner import OuterState
from metaopt.normalize import LossScale
from workers import validation
from workers.base_config import Workers
from workers.config import RunConfig, Validation
from workers.validation import Best, Score

TASKS = ("quadratic:dim=2", "quadratic:dim=3")
FINALS = {2: np.asarray([1.0, 3.0]), 3: np.asarray([5.0, 7.0])}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    def final_losses(family, optimizer, meta_params, num_steps, seeds):
        assert num_steps == 200
        assert list(seeds) == [0, 1]
        return FINALS[family.dim]

    monkeypatch.setattr(validation, "final_losses", final_losses)
    return RunConfig(tasks=TASKS, workers=Workers(number=2), validation=Validation(num_seeds=2))


def test_the_score_is_the_mean_over_tasks(config: RunConfig):
    score = validation.validate(config, OuterState(5, {}, (), {}))
    assert score == Score(4.0, {TASKS[0]: 2.0, TASKS[1]: 6.0})


def test_with_loss_scales_tasks_count_alike(config: RunConfig):
    scales = {TASKS[0]: LossScale(np.float32(4), np.float32(0)), TASKS[1]: LossScale()}
    score = validation.validate(config, OuterState(5, {}, (), scales))
    assert score.score == pytest.approx((2.0 / 4.0 + 6.0) / 2)


def test_a_diverged_run_is_never_the_best(config: RunConfig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(FINALS, 2, np.asarray([np.nan, 1.0]))
    score = validation.validate(config, OuterState(5, {}, (), {}))
    assert score.score == float("inf")
    assert validation.better(None, score, 5) is None
    assert validation.better(Best(3, 9.0), score, 5) == Best(3, 9.0)


def test_the_best_is_the_first_of_the_least():
    assert validation.better(None, Score(2.0, {}), 1) == Best(1, 2.0)
    assert validation.better(Best(1, 2.0), Score(2.0, {}), 2) == Best(1, 2.0)
    assert validation.better(Best(1, 2.0), Score(1.0, {}), 3) == Best(3, 1.0)


def test_the_record_has_the_best_so_far():
    record = validation.record(Score(2.0, {"a": 2.0}), Best(3, 1.0))
    assert record == {"score": 2.0, "best": 1.0, "best_step": 3, "losses": {"a": 2.0}}
