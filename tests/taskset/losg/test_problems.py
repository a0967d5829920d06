"""Every problem: gradients against finite differences in float64, and minima in closed form."""

import dataclasses
import math

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.losg.conv_net import ConvNet
from taskset.losg.dependency_chain import DependencyChain
from taskset.losg.fully_connected import FullyConnected
from taskset.losg.linear import IsotropicQuadratic, Norm, Quadratic
from taskset.losg.log_objective import LogObjective
from taskset.losg.min_max_well import MinMaxWell
from taskset.losg.outward_snake import OutwardSnake
from taskset.losg.quadratics_in_data import ProjectionQuadratic, SumOfQuadratics
from taskset.losg.rescale import Rescale
from taskset.losg.softmax_regression import (
    OneHotSparseSoftmaxRegression,
    SoftmaxRegression,
    SparseSoftmaxRegression,
)
from taskset.losg.sum_task import SumTask
from taskset.losg.two_d import FUNCTIONS, TwoDFunction, bowl
from taskset.networks.activations import ACTIVATIONS, Activation
from taskset.networks.dims import Dim

RNG = np.random.RandomState(0)
D, BATCH = Dim(4), Dim(3)
SYSTEM = {"matrix": RNG.randn(4, 4), "target": RNG.randn(4)}
LABELLED = {"rows": RNG.randn(3, 4), "label": np.asarray([0.0, 1.0, 1.0])}
IDS = {"ids": RNG.randint(0, 2, (3, 5), np.int32), "label": LABELLED["label"]}
IMAGES = {"image": RNG.randn(2, 3, 3, 1), "label": np.asarray([0, 2], np.int32)}

CASES = {
    "quadratic": (Quadratic(D), SYSTEM),
    "norm 3": (Norm(D, 3.0), SYSTEM),
    "norm 0.5": (Norm(D, 0.5), SYSTEM),
    "isotropic": (IsotropicQuadratic(D), None),
    "bowl": (bowl(7.0, math.pi / 3), None),
    "sparse softmax": (SparseSoftmaxRegression(D, BATCH), IDS),
    "one-hot softmax": (OneHotSparseSoftmaxRegression(BATCH), IDS),
    "softmax": (SoftmaxRegression(D, BATCH), LABELLED),
    "conv net": (ConvNet((3, 3, 1), (2, 2), 3), IMAGES),
    "chain": (DependencyChain(D), None),
    "well": (MinMaxWell(D), None),
    "snake": (OutwardSnake(D, BATCH), LABELLED),
    "projection": (ProjectionQuadratic(D, BATCH), LABELLED),
    "sum of quadratics": (SumOfQuadratics(D, BATCH), LABELLED),
    "sum": (SumTask((MinMaxWell(D), Quadratic(D))), (None, SYSTEM)),
    "rescaled": (Rescale(Quadratic(D), 0.3), SYSTEM),
    "logarithm": (LogObjective(Quadratic(D)), SYSTEM),
    **{name: (TwoDFunction(name), None) for name in FUNCTIONS},
    **{
        f"network of {name}": (FullyConnected(D, (Dim(3), D), Activation(name), BATCH), LABELLED)
        for name in ACTIVATIONS
    },
}


@pytest.fixture
def float64():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def loss_of(name):
    """The loss as a function of the parameters alone, and a starting point, in float64."""
    problem, batch = CASES[name]
    batch = jax.tree.map(jnp.asarray, batch)
    start = jax.tree.map(lambda x: x.astype(jnp.float64), problem.init(jax.random.key(1)))
    return jax.jit(lambda params: problem.loss(params, batch, jax.random.key(0))), start


@pytest.mark.parametrize("name", CASES)
def test_gradient_equals_finite_differences(name, float64):
    loss, start = loss_of(name)
    flat, unravel = jax.flatten_util.ravel_pytree(start)
    gradient = jax.flatten_util.ravel_pytree(jax.grad(loss)(start))[0]
    size = 1e-6 * max(1.0, float(jnp.max(jnp.abs(flat))))
    steps = size * jnp.eye(flat.size)
    values = jax.vmap(lambda x: loss(unravel(x)))
    differences = (values(flat[None] + steps) - values(flat[None] - steps)) / (2 * size)
    scale = float(jnp.max(jnp.abs(gradient)))
    assert scale > 0
    np.testing.assert_allclose(differences, gradient, rtol=0, atol=1e-6 * scale)


def numpy_squares(x, rows):
    return sum(np.sum((x - row) ** 2) - np.sum(row**2) for row in rows)


CLOSED_FORMS = {
    "quadratic": lambda x: 0.5 * np.sum((SYSTEM["matrix"] @ x - SYSTEM["target"]) ** 2),
    "norm 3": lambda x: (
        np.sum((np.abs(SYSTEM["matrix"] @ x - SYSTEM["target"]) + 1e-6) ** 3) ** (1 / 3)
    ),
    "isotropic": lambda x: np.sum(x**2),
    "chain": lambda x: sum(x[0] ** 2 + x[i + 1] ** 2 / (x[i] ** 2 + 1e-6) for i in range(3)),
    "well": lambda x: np.max(x**2) + 1 / np.min(x**2) - 2 + 1e-12,
    "snake": lambda x: sum(
        row[0] / (np.sqrt(np.sum(x**2)) + 1e-6)
        + sum(((x[i + 1] - np.pi * np.cos(x[i])) * row[i + 1]) ** 2 for i in range(3))
        for row in LABELLED["rows"]
    ),
    "projection": lambda x: sum(np.sum((x * row) ** 2) for row in LABELLED["rows"]),
    "sum of quadratics": lambda x: numpy_squares(x, LABELLED["rows"]) + 1e-12,
    "rescaled": lambda x: CLOSED_FORMS["quadratic"](x / 0.3),
    "logarithm": lambda x: np.log(CLOSED_FORMS["quadratic"](x) + 1e-6) - np.log(1e-6),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_loss_equals_numpy(name, float64):
    loss, start = loss_of(name)
    np.testing.assert_allclose(loss(start), CLOSED_FORMS[name](np.asarray(start)), rtol=1e-12)


MEAN_ROW = LABELLED["rows"].mean(axis=0)
SOLUTION = np.linalg.solve(SYSTEM["matrix"], SYSTEM["target"])
MINIMA = {  # where, and the least value
    "quadratic": (SOLUTION, 0.0),
    "norm 3": (SOLUTION, 4 ** (1 / 3) * 1e-6),
    "isotropic": (np.zeros(4), 0.0),
    "bowl": (np.zeros(2), 0.0),
    "chain": (np.zeros(4), 0.0),
    "well": (np.asarray([1.0, -1.0, 1.0, -1.0]), 1e-12),
    "projection": (np.zeros(4), 0.0),
    "sum of quadratics": (MEAN_ROW, -3 * np.sum(MEAN_ROW**2)),
    "rescaled": (0.3 * SOLUTION, 0.0),
    "logarithm": (SOLUTION, 0.0),
}


@pytest.mark.parametrize("name", MINIMA)
def test_the_minimum_is_where_theory_has_it(name, float64):
    loss, _ = loss_of(name)
    where, least = MINIMA[name]
    np.testing.assert_allclose(loss(where), least, rtol=1e-6, atol=2e-12)
    near = where + 1e-3 * np.random.RandomState(1).randn(50, where.size)
    assert np.all(jax.vmap(loss)(near) > loss(where))


def test_a_label_loss_is_that_of_the_first_logit_and_a_penalty(float64):
    loss, params = loss_of("softmax")
    rows, label = LABELLED["rows"], LABELLED["label"]
    logit = rows @ np.asarray(params["weight"][:, 0]) + params["bias"][0]
    probability = 1 / (1 + np.exp(-logit))
    expected = -np.mean(label * np.log(probability) + (1 - label) * np.log(1 - probability))
    penalty = 1e-3 * np.mean([np.sum(np.asarray(x) ** 2) for x in params.values()])
    np.testing.assert_allclose(loss(params), expected + penalty, rtol=1e-12)


def test_embeddings_of_ids_are_summed(float64):
    loss, params = loss_of("sparse softmax")
    features = np.asarray(params["embedding"])[IDS["ids"]].sum(axis=1)
    own = {"weight": params["weight"], "bias": params["bias"]}
    linear = SoftmaxRegression(D, BATCH).loss(
        own, {"rows": features, "label": IDS["label"]}, jax.random.key(0)
    )
    sums = [float(jnp.sum(x**2)) for x in (params["embedding"], *own.values())]
    penalty = 1e-3 * (np.mean(sums) - np.mean(sums[1:]))
    np.testing.assert_allclose(loss(params), linear + penalty, rtol=1e-12)


def test_starts_have_the_stated_spread():
    network = FullyConnected(Dim(16), (Dim(400), Dim(400)), Activation("tanh"), BATCH)
    params = jax.jit(network.init)(jax.random.key(0))
    first = {"hidden0": {"weight": 16, "bias": 400}, "hidden1": {"weight": 400, "bias": 400}}
    for layer, sizes in first.items():
        for name, size in sizes.items():
            x = np.asarray(params[layer][name]) * np.sqrt(size) / 1.2
            assert abs(x.var() - 1) < 4 * np.sqrt(2 / x.size)
    kernel = jax.jit(ConvNet((3, 3, 8), (64,), 3).init)(jax.random.key(0))["conv0"]["weight"]
    assert abs(np.var(kernel) / 1e-4 - 1) < 4 * np.sqrt(2 / kernel.size)
    well = np.asarray(jax.jit(MinMaxWell(Dim(4000)).init)(jax.random.key(0)))
    assert abs(well.mean()) < 4 / np.sqrt(well.size)
    assert abs(well.var() - 1) < 4 * np.sqrt(2 / well.size)


def test_sums_over_a_batch_count_any_other_batch_as_one_of_its_size():
    rows = jnp.asarray(LABELLED["rows"], jnp.float32)
    params = jnp.ones(4)
    for kind in (OutwardSnake, ProjectionQuadratic, SumOfQuadratics):
        loss = lambda rows, kind=kind: kind(D, BATCH).loss(params, {"rows": rows}, None)
        np.testing.assert_allclose(loss(jnp.tile(rows, (2, 1))), loss(rows), rtol=1e-6)


def test_problems_are_pytrees_with_their_structure_in_the_type():
    network = CASES["network of relu"][0]
    leaves, tree = jax.tree.flatten(network)
    assert jax.tree.unflatten(tree, leaves) == network
    other = dataclasses.replace(network, activation=Activation("tanh"))
    assert jax.tree.structure(other) != tree
