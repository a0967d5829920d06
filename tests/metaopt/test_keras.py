"""`metaopt.keras.LearnedOptimizer` in a model of Keras."""

import os

os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported, and read then alone

import jax
import numpy as np
import optax
import pytest
from bare_exports import bare_export

import metaopt
from metaopt import learned_optimizers as lo
from taskset.errors import InputError

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module", autouse=True)
def loose_promotion():
    """Keras mixes dtypes and ranks."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    optimizer = lo.LearnableMomentum()
    folder = tmp_path_factory.mktemp("exports") / "export"
    return metaopt.export(folder, optimizer, optimizer.init(jax.random.key(0)))


def make(path, **options):
    from metaopt.keras import LearnedOptimizer

    return LearnedOptimizer(path, check=False, **options)


def test_it_does_what_optax_does(path):
    draw = np.random.RandomState(0)
    start = [draw.randn(3, 2).astype(np.float32), draw.randn(2).astype(np.float32)]
    variables = [keras.Variable(x) for x in start]
    optimizer, transformation = make(path, learning_rate=0.5), metaopt.load(path, check=False)
    params = [jax.numpy.asarray(x) for x in start]
    state = transformation.init(params)
    for _ in range(3):
        gradients = [jax.numpy.asarray(draw.randn(*x.shape), np.float32) for x in start]
        optimizer.apply(gradients, variables)
        updates, state = transformation.update(gradients, state, params)
        params = optax.apply_updates(params, jax.tree.map(lambda u: 0.5 * u, updates))
    for variable, param in zip(variables, params, strict=True):
        np.testing.assert_allclose(np.asarray(variable.value), param, atol=1e-6)
        assert not np.array_equal(param, start[0])


def test_a_model_is_fitted_saved_and_goes_on(path, tmp_path):
    from metaopt.keras import LearnedOptimizer

    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer=make(path), loss="mse")
    x = np.random.RandomState(0).randn(32, 2).astype(np.float32)
    y = x.sum(1, keepdims=True)
    before = [np.asarray(v.value) for v in model.trainable_variables]
    model.fit(x, y, epochs=2, batch_size=16, verbose=0, shuffle=False)
    assert not np.array_equal(before[0], np.asarray(model.trainable_variables[0].value))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(
        tmp_path / "model.keras",
        custom_objects={"LearnedOptimizer": LearnedOptimizer},
    )
    assert int(loaded.optimizer.iterations.value) == 4
    for old, new in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(old.value), np.asarray(new.value))


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (lo.HyperController(), "looks at the loss"),
        (lo.HierarchicalRNN(), "looks at all tensors together"),
        (lo.LearnableSGD(num_tensors=2), "looks at all tensors together"),
    ],
)
def test_what_keras_cannot_give_is_refused(optimizer, message, tmp_path):
    with pytest.raises(InputError, match=message):
        make(bare_export(tmp_path / "export", optimizer))
