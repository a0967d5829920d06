"""Every solver against a dense solution."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.linear_solvers import (
    GMRES,
    BiCGStab,
    ConjugateGradient,
    Identity,
    Neumann,
    NormalConjugateGradient,
    Nystrom,
    Operator,
    largest_eigenvalue,
)
from taskset.errors import InputError

pytestmark = pytest.mark.usefixtures("double_precision")

SIZE = 12
RNG = np.random.RandomState(0)
ROTATION = np.linalg.qr(RNG.randn(SIZE, SIZE))[0]
EIGENVALUES = np.linspace(0.5, 3.0, SIZE)
SYMMETRIC = (ROTATION * EIGENVALUES) @ ROTATION.T
GENERAL = np.eye(SIZE) - 0.15 * RNG.randn(SIZE, SIZE)
INDEFINITE = (ROTATION * np.linspace(-1.0, 3.0, SIZE)) @ ROTATION.T
B = RNG.randn(SIZE)


def operator(matrix):
    return Operator(lambda v: matrix @ v, lambda v: matrix.T @ v)


@functools.partial(jax.jit, static_argnums=0)
def solution(solver, matrix, start):
    return solver.solve(operator(matrix), jnp.asarray(B), start)


def solve(solver, matrix, start=None):
    return solution(solver, matrix, np.zeros(SIZE) if start is None else start)


def error(found, matrix):
    exact = np.linalg.solve(matrix, B)
    return np.linalg.norm(found.x - exact) / np.linalg.norm(exact)


@pytest.mark.parametrize(
    ("solver", "matrix", "bound"),
    [
        (ConjugateGradient(SIZE), SYMMETRIC, 1e-12),
        (NormalConjugateGradient(2 * SIZE), GENERAL, 1e-9),
        (NormalConjugateGradient(2 * SIZE, damping=0.0), INDEFINITE, 1e-7),
        (GMRES(SIZE, 2), GENERAL, 1e-8),
        (BiCGStab(5 * SIZE), GENERAL, 1e-8),
        (Neumann(300), SYMMETRIC, 1e-12),
        (Neumann(300, step=0.6), SYMMETRIC, 1e-12),
        (Nystrom(SIZE, damping=1e-8), SYMMETRIC, 1e-5),
    ],
    ids=["cg", "normal", "normal_indefinite", "gmres", "bicgstab", "neumann", "stepped", "nystrom"],
)
def test_against_a_dense_solution(solver, matrix, bound):
    found = solve(solver, matrix)
    assert error(found, matrix) < bound
    expected = np.linalg.norm(B - matrix @ np.asarray(found.x)) / np.linalg.norm(B)
    assert float(found.residual) == pytest.approx(expected, rel=1e-3, abs=1e-14)
    assert bool(found.sound)


@pytest.mark.parametrize("num_terms", [1, 4, 11, 31])
def test_the_error_of_a_neumann_series_has_its_bound(num_terms):
    step = 1 / EIGENVALUES.max()
    bound = (1 - step * EIGENVALUES.min()) ** num_terms
    exact = np.linalg.solve(SYMMETRIC, B)
    distance = np.linalg.norm(solve(Neumann(num_terms, step), SYMMETRIC).x - exact)
    assert 1e-3 * bound < distance / np.linalg.norm(exact) <= bound


def test_damping_adds_to_the_diagonal():
    found = solve(ConjugateGradient(SIZE, damping=0.5), SYMMETRIC)
    exact = np.linalg.solve(SYMMETRIC + 0.5 * np.eye(SIZE), B)
    np.testing.assert_allclose(found.x, exact, rtol=1e-10)
    assert float(found.residual) > 0.1  # it is that of the matrix without damping


def test_a_low_rank_and_its_damping():
    """Where M is of that rank, whatever columns are taken: (M + damping I) x = b."""
    matrix = (ROTATION[:, :3] * [3.0, 2.0, 1.0]) @ ROTATION[:, :3].T
    found = solve(Nystrom(3, damping=0.1), matrix)
    exact = np.linalg.solve(matrix + 0.1 * np.eye(SIZE), B)
    np.testing.assert_allclose(found.x, exact, rtol=1e-8)


def test_the_identity_scales():
    np.testing.assert_allclose(solve(Identity(0.3), SYMMETRIC).x, 0.3 * B)


def test_conjugate_gradients_stop_at_negative_curvature():
    found = solve(ConjugateGradient(50), INDEFINITE)
    assert not bool(found.sound) and bool(jnp.all(jnp.isfinite(found.x)))


def test_a_series_that_diverges_is_not_sound():
    assert not bool(solve(Neumann(60, step=0.8), SYMMETRIC).sound)
    assert not bool(solve(Neumann(60), INDEFINITE).sound)


@pytest.mark.parametrize("solver", [ConjugateGradient(3), Neumann(3), GMRES(3, 1)], ids=str)
def test_a_warm_start_is_where_it_begins(solver):
    near = np.linalg.solve(SYMMETRIC, B) + 1e-6
    assert (
        error(solve(solver, SYMMETRIC, near), SYMMETRIC)
        < 1e-5
        < error(solve(solver, SYMMETRIC), SYMMETRIC)
    )


def test_power_iterations_find_the_largest_eigenvalue():
    found = float(largest_eigenvalue(operator(SYMMETRIC), jnp.asarray(B)))
    assert 0.9 * EIGENVALUES.max() < found <= EIGENVALUES.max()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Neumann(0), "num_terms is 0; it must be at least 1"),
        (lambda: ConjugateGradient(0), "num_iterations is 0"),
        (lambda: Nystrom(0), "rank is 0"),
        (lambda: Nystrom(damping=0.0), r"damping is 0\.0; it must be positive"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
