"""The examples run, and other libraries take an export as any optax transformation."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from bare_exports import bare_export

import metaopt
from metaopt.learned_optimizers import LearnableAdam

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return bare_export(tmp_path_factory.mktemp("exports") / "export", LearnableAdam())


@pytest.mark.parametrize("name", ["mlp", "cnn", "transformer", "pytorch"])
def test_an_example_runs(name, path):
    command = [sys.executable, EXAMPLES / f"{name}.py", path, "--num-steps", "3", "--no-check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["3", "learned", "Adam,"]


@pytest.fixture
def optimizer(path):
    return metaopt.load(path, num_steps=10, check=False)


X = jnp.linspace(-1.0, 1.0, 12).reshape(6, 2)


@pytest.fixture(autouse=True)
def loose_promotion():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def test_flax_train_state(optimizer):
    linen = pytest.importorskip("flax.linen")
    from flax.training.train_state import TrainState

    model = linen.Dense(1)
    params = model.init(jax.random.key(0), X)
    state = TrainState.create(apply_fn=model.apply, params=params, tx=optimizer)
    loss = lambda params: jnp.mean(jnp.square(state.apply_fn(params, X)))
    after = state.apply_gradients(grads=jax.grad(loss)(state.params))
    assert loss(after.params) < loss(state.params) and after.step == 1


def test_flax_nnx(optimizer):
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    trained = nnx.Optimizer(model, optimizer, wrt=nnx.Param)
    loss = lambda model: jnp.mean(jnp.square(model(X)))
    before, gradients = nnx.value_and_grad(loss)(model)
    trained.update(model, gradients, value=before)
    assert loss(model) < before


def test_equinox(optimizer):
    equinox = pytest.importorskip("equinox")
    model = equinox.nn.Linear(2, 1, key=jax.random.key(0))
    loss = lambda model: jnp.mean(jnp.square(jax.vmap(model)(X)))
    params = equinox.filter(model, equinox.is_array)
    before, gradients = equinox.filter_value_and_grad(loss)(model)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params, value=before)
    assert loss(equinox.apply_updates(model, updates)) < before


def test_haiku(optimizer):
    haiku = pytest.importorskip("haiku")

    def network(x):
        return haiku.Linear(1)(x)

    model = haiku.without_apply_rng(haiku.transform(network))
    params = model.init(jax.random.key(0), X)
    loss = lambda params: jnp.mean(jnp.square(model.apply(params, X)))
    before, gradients = jax.value_and_grad(loss)(params)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params, value=before)
    assert loss(jax.tree.map(jnp.add, params, updates)) < before
