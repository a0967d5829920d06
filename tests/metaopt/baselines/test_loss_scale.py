"""Loss scales: measured once, then read."""

import json

import numpy as np
import pytest

from metaopt import held_out
from metaopt.baselines import loss_scale
from metaopt.baselines.grid import Grid, tune_adam
from metaopt.baselines.loss_scale import NUM_SEEDS
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily

pytestmark = pytest.mark.usefixtures("standard_promotion")

FAMILY = QuadraticFamily(dim=3)


class Measurements:
    """Stands in for `tune_adam`: counts calls, and gives grids that end at certain losses."""

    def __init__(self, initial=8.0, constant=2.0, cosine=1.0):
        self.count = 0
        self.initial, self.best = initial, {"constant": constant, "cosine": cosine}

    def __call__(self, family, data, keys, num_steps, schedule):
        self.count += 1
        curves = np.full((3, len(keys), num_steps), self.initial)
        losses = np.asarray([3.0, 1.0, 2.0])[:, None] * np.full((3, len(keys)), self.best[schedule])
        return Grid(schedule, np.asarray([0.1, 0.2, 0.3]), curves, losses, losses)


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> Measurements:
    made = Measurements()
    monkeypatch.setattr(loss_scale, "tune_adam", made)
    return made


def test_measures_the_start_and_the_end_of_tuned_adam(tmp_path):
    scale = loss_scale.loss_scale(FAMILY, 6, tmp_path)
    keys = held_out.evaluation_keys("scale", range(NUM_SEEDS))
    tasks = [FAMILY.sample(FAMILY.load_data(), key) for key in keys]
    assert len(tasks) == NUM_SEEDS
    grids = [tune_adam(FAMILY, FAMILY.load_data(), keys, 6, s) for s in ("constant", "cosine")]
    least = min(np.min(np.mean(grid.final_train_loss, axis=1)) for grid in grids)
    np.testing.assert_allclose(scale.best, least, rtol=1e-6)
    np.testing.assert_allclose(scale.initial, np.mean(grids[0].curves[0, :, 0]), rtol=1e-6)
    assert 0 < scale.best < scale.initial


def test_takes_the_better_schedule(measurements, tmp_path):
    assert loss_scale.loss_scale(FAMILY, 6, tmp_path) == (8.0, 1.0)


def test_is_kept_and_read_back(measurements, tmp_path):
    first = loss_scale.loss_scale(FAMILY, 6, tmp_path / "new" / "folder")
    again = loss_scale.loss_scale(FAMILY, 6, tmp_path / "new" / "folder")
    assert measurements.count == 2  # one for each schedule
    assert again == first
    assert [x.dtype for x in again] == [np.float32, np.float32]
    (file,) = (tmp_path / "new" / "folder").iterdir()
    assert json.loads(file.read_text())["num_steps"] == 6


def test_every_family_and_length_has_a_file_of_its_own(measurements, tmp_path):
    for family, num_steps in [(FAMILY, 6), (FAMILY, 7), (QuadraticFamily(dim=4), 6)]:
        loss_scale.loss_scale(family, num_steps, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert measurements.count == 6


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"initial": null, "best": 1}'])
def test_what_cannot_be_read_is_measured_again(measurements, tmp_path, content):
    first = loss_scale.loss_scale(FAMILY, 6, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_text()
    file.write_text(content)
    assert loss_scale.loss_scale(FAMILY, 6, tmp_path) == first
    assert measurements.count == 4
    assert file.read_text() == whole


def test_a_folder_that_cannot_be_written_costs_only_time(measurements, tmp_path):
    (tmp_path / "file").write_text("")
    scales = [loss_scale.loss_scale(FAMILY, 6, tmp_path / "file") for _ in range(2)]
    assert scales[0] == scales[1] == (8.0, 1.0)
    assert measurements.count == 4


def test_a_task_that_adam_does_not_improve_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(loss_scale, "tune_adam", Measurements(initial=1.0))
    with pytest.raises(InputError, match=r"1, is not below the initial loss, 1; use normalization"):
        loss_scale.loss_scale(FAMILY, 6, tmp_path)
    assert not list(tmp_path.iterdir())
