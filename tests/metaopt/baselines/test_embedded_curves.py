"""Shipped curves: found for the same task with the same data, and read as loss scales."""

import numpy as np
import pytest

from metaopt.baselines import embedded_curves, loss_scale, task_curves
from metaopt.baselines.embedded_curves import Shipped, data_fingerprint
from metaopt.baselines.task_curves import Protocol
from taskset import catalog
from taskset.families.quadratic import QuadraticFamily

FAMILY = QuadraticFamily(dim=3)
FINGERPRINT = data_fingerprint(FAMILY.load_data())

# Training losses at steps 0, 20, 40 of each optimizer, the mean of two replicas.
TRAIN = {b"good": (8.0, 2.0, 3.0), b"slow": (8.0, 7.0, 1.0), b"diverges": (8.0, 0.5, np.nan)}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A file of two tasks; of the first, the fingerprint is that of its data."""
    mean = np.asarray(list(TRAIN.values()), np.float32)
    train = np.stack([0.9 * mean, 1.1 * mean], axis=1)
    ys = np.stack([train, *[np.full_like(train, 100)] * 3], axis=-1)
    content = Shipped(
        np.asarray([b"quadratic:dim=3", b"quadratic:dim=4"]),
        np.asarray([FINGERPRINT, "f" * 64], np.bytes_),
        np.asarray(list(TRAIN)),
        np.asarray([0, 20, 40]),
        np.stack([ys, ys]),
    )
    path = tmp_path / "curves.npz"
    np.savez_compressed(path, **content._asdict())
    monkeypatch.setattr(embedded_curves, "CURVES", path)


@pytest.mark.parametrize(
    ("num_steps", "best"), [(20, 0.5), (39, 0.5), (40, 1.0)], ids=["exact", "before", "last"]
)
def test_the_scale_is_the_start_and_the_best_mean_at_the_last_evaluation(shipped, num_steps, best):
    scale = embedded_curves.loss_scale(FAMILY, num_steps, FINGERPRINT)
    np.testing.assert_allclose(scale, (8.0, best), rtol=1e-6)
    assert [x.dtype for x in scale] == [np.float32, np.float32]


@pytest.mark.parametrize(
    ("family", "num_steps"),
    [
        (FAMILY, 41),  # longer than the curves
        (FAMILY, 19),  # before the second evaluation nothing has fallen
        (QuadraticFamily(dim=4), 20),  # other data than then
        (QuadraticFamily(dim=5), 20),
        (catalog.build("quadratic:dim=3+rescale_loss"), 20),
        (None, 20),  # a family of the user's own
    ],
)
def test_what_is_not_shipped_is_not_found(shipped, family, num_steps):
    assert embedded_curves.loss_scale(family, num_steps, FINGERPRINT) is None


def test_loss_scales_come_from_shipped_curves_and_leave_no_file(shipped, tmp_path):
    found = loss_scale.loss_scale(FAMILY, 40, tmp_path / "cache")
    np.testing.assert_allclose(found, (8.0, 1.0), rtol=1e-6)
    assert not (tmp_path / "cache").exists()


def test_without_a_file_nothing_is_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded_curves, "CURVES", tmp_path / "none.npz")
    assert embedded_curves.names() == ()
    assert embedded_curves.find(FAMILY, FINGERPRINT) is None


def test_fingerprints_tell_data_apart():
    a, b = ({"x": np.arange(3, dtype=dtype)} for dtype in (np.int32, np.uint32))
    assert data_fingerprint(a) == data_fingerprint({"x": np.arange(3, dtype=np.int32)})
    assert data_fingerprint(a) != data_fingerprint(b)


are_shipped = pytest.mark.skipif(not embedded_curves.CURVES.exists(), reason="none are shipped yet")


@are_shipped
def test_what_is_shipped_is_small_and_says_how_it_was_made():
    found = embedded_curves.provenance()
    assert embedded_curves.CURVES.stat().st_size < 4e6
    assert set(found["tasks"]) == set(embedded_curves.names())
    assert {"command", "date", "machine", "versions", "seed"} <= set(found)
    assert all(catalog.name_of(catalog.build(name)) == name for name in embedded_curves.names())


@are_shipped
@pytest.mark.parametrize("name", ["TwoD_Rosenbrock:source=embedded", "mlp"])
def test_what_is_shipped_is_of_the_tasks_as_they_are_now(name):
    made_by, family = embedded_curves.provenance(), catalog.build(name)
    found = embedded_curves.find(family, data_fingerprint(family.load_data()))
    protocol = Protocol(50, made_by["minibatches"], made_by["replicas"])
    now = task_curves.compute(family, [found.optimizers[0].decode()], protocol)
    np.testing.assert_allclose(now.ys[0, :, 0], found.ys[0, :, 0], rtol=1e-3)
