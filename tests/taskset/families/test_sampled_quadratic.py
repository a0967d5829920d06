"""The distributions of matrices, starts and noise of `quadratic_family`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from padding import assert_padding_is_exact

from taskset import configs
from taskset.families import sampled_quadratic
from taskset.families.sampled_quadratic import Entries, EntryNoise, MatrixData, SpectralNoise
from taskset.named import NamedFamily
from taskset.networks.choices import Choice
from taskset.networks.dims import Dim
from taskset.options import Options

NOISES = {  # the kind of noise, and the largest dimension to look for
    "no": (None,),
    "entry": ("normal", "uniform"),
    "spectral": ("linspace_eigen", "logspace_eigen"),
}
CONFIG = {
    "A_dist": ["normal", {"mean": 0.5, "std": 1.0}],
    "initial_dist": ["uniform", {"min": -1.0, "max": 2.0}],
    "output_fn": "identity",
    "dims": 6,
    "seed": 3,
    "loss_scale": 10.0,
    "noise": None,
}


def name_of(seed):
    return f"quadratic_family_seed{seed}"


def first_seed(kinds, output_fn):
    for seed in range(1000):
        config = configs.config(name_of(seed))
        kind = config["noise"]["A_noise"][0] if config["noise"] else None
        if kind in kinds and config["output_fn"] == output_fn and 4 < config["dims"] < 60:
            return seed
    raise AssertionError(kinds)


@pytest.mark.parametrize("fidelity", ["intended", "released"])
@pytest.mark.parametrize("output_fn", ["identity", "log"])
@pytest.mark.parametrize("noise", NOISES)
def test_padding_is_exact(noise, output_fn, fidelity):
    assert_padding_is_exact(name_of(first_seed(NOISES[noise], output_fn)), fidelity=fidelity)


def build(options=Options(), **changes):
    return sampled_quadratic.build(CONFIG | changes, options)


def matrix_of(spec):
    return spec.data.load().sample("train", jax.random.key(0), 0)["matrix"]


@pytest.mark.parametrize("output_fn", ["identity", "log"])
def test_loss_and_gradient_have_the_closed_form(output_fn):
    spec = build(output_fn=output_fn)
    matrix, task = matrix_of(spec), spec.template
    params = task.init(jax.random.key(1))
    loss, gradient = jax.value_and_grad(task.loss)(params, {"matrix": matrix}, jax.random.key(0))
    a, x = (np.asarray(array, np.float64) for array in (matrix, params))
    squares, slope = np.sum((a @ x) ** 2), 2 * a.T @ a @ x
    if output_fn == "log":
        squares, slope = np.log(squares + 1e-8), slope / (squares + 1e-8)
    np.testing.assert_allclose(loss, 10 * squares, rtol=1e-5)
    np.testing.assert_allclose(gradient, 10 * slope, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "values"), [("linspace_eigen", [1, 3, 5, 7]), ("logspace_eigen", [1, 4, 16, 64])]
)
def test_spectra_are_evenly_spaced(kind, values):
    matrix = MatrixData(kind, values[0], values[-1], 4, 4, seed=0).draw()
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), values, rtol=1e-6)
    names = ("linspace_eigen", "logspace_eigen")
    choice = Choice(names, np.int32(names.index(kind)))
    noise = SpectralNoise(False, choice, np.float32(values[0]), np.float32(values[-1]))
    np.testing.assert_allclose(noise.eigenvalues(Dim(4)), values, rtol=1e-6)
    np.testing.assert_allclose(noise.eigenvalues(Dim(6, np.int32(4))), [*values, 0, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "first", "second", "mean", "variance", "fourth"),
    [("normal", -1.0, 0.5, -1.0, 0.25, 3.0), ("uniform", -1.0, 3.0, 1.0, 16 / 12, 1.8)],
)
def test_entries_have_the_moments_asked_for(kind, first, second, mean, variance, fourth):
    entries = Entries(Choice((kind,)), np.float32(first), np.float32(second))
    drawn = np.asarray(jax.jit(lambda key: entries.draw(key, Dim(60), Dim(80)))(jax.random.key(0)))
    matrix = MatrixData(kind, first, second, 70, 70, seed=0).draw()
    for x in (drawn, matrix):
        assert abs(x.mean() - mean) < 4 * np.sqrt(variance / x.size)
        assert abs(x.var() - variance) < 4 * variance * np.sqrt((fourth - 1) / x.size)


def test_noise_is_drawn_anew_for_every_loss_and_adds_its_expectation():
    """With entries of mean 0, the noise adds dim * variance * |x|**2 to the expected loss."""
    noise = {"A_noise": ["normal", {"mean": 0.0, "std": 0.3}]}
    spec = build(noise=noise, loss_scale=1.0)
    task, batch = spec.template, {"matrix": matrix_of(spec)}
    assert isinstance(task.noise, EntryNoise)
    params = task.init(jax.random.key(1))
    keys = jax.random.split(jax.random.key(2), 2000)
    losses = np.asarray(jax.jit(jax.vmap(lambda key: task.loss(params, batch, key)))(keys))
    expected = jnp.sum((batch["matrix"] @ params) ** 2) + 6 * 0.09 * jnp.sum(params**2)
    assert losses.std() > 0
    assert abs(losses.mean() - expected) < 4 * losses.std() / np.sqrt(losses.size)


def test_the_matrix_is_of_the_seed_and_the_start_of_the_key_or_as_released_of_the_seed():
    keys = jax.random.split(jax.random.key(0), 2)
    intended, released = build(), build(Options(fidelity="released"))
    np.testing.assert_array_equal(matrix_of(intended), matrix_of(released))
    assert np.any(matrix_of(build(seed=4)) != matrix_of(intended))
    starts = [[spec.template.init(key) for key in keys] for spec in (intended, released)]
    assert np.any(starts[0][0] != starts[0][1])
    np.testing.assert_array_equal(*starts[1])


def test_the_matrix_is_shared_by_tasks():
    family = NamedFamily(name_of(0))
    task = family.sample(family.load_data(), jax.random.key(0))
    assert sum(np.size(x) for x in jax.tree.leaves(task)) < 10


def test_few_programs_serve_all():
    specs = [
        sampled_quadratic.build(configs.config(name_of(seed)), Options(buckets="padded"))
        for seed in range(300)
    ]
    structures = {jax.tree.structure(spec.template) for spec in specs}
    assert len(structures) <= 3 * len(sampled_quadratic.DIMS)
