"""Ways to solve M x = b where M is known by its products with vectors.

All return how far they came: the residual is computed anew at the end, whatever was tracked on the
way.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.sparse import linalg

from taskset.errors import InputError

POWER_ITERATIONS = 10  # they find the largest eigenvalue to a few per cent, from below
GROWTH = 10.0  # of the residual, from which on a series counts as divergent


class Operator(NamedTuple):
    """A square matrix."""

    product: Callable[[jax.Array], jax.Array]  # M v, for v of [size]
    transposed: Callable[[jax.Array], jax.Array]  # its transpose times v


class Solution(NamedTuple):
    """What a solver found."""

    x: jax.Array  # [size]
    residual: jax.Array  # [], |b - M x| / |b|
    sound: jax.Array  # [] bool, false when a series diverged or the curvature was not positive


@dataclasses.dataclass(frozen=True)
class Solver(abc.ABC):
    """A frozen configuration. Not for `vmap` where it factorises a matrix."""

    @abc.abstractmethod
    def approximate(
        self, operator: Operator, b: jax.Array, start: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """An approximate solution, [size], from `start`, [size]; and whether it is sound."""

    def solve(self, operator: Operator, b: jax.Array, start: jax.Array) -> Solution:
        """An approximate solution of M x = b from a first guess; both are [size]."""
        x, sound = self.approximate(operator, b, start)
        norm = jnp.maximum(jnp.linalg.norm(b), jnp.finfo(b.dtype).tiny)
        return Solution(x, jnp.linalg.norm(b - operator.product(x)) / norm, sound)


@dataclasses.dataclass(frozen=True)
class Neumann(Solver):
    """x = s (1 + (I - s M) + (I - s M)^2 + ...) b, the first `num_terms` of them.

    It converges for steps s below 2 / the largest eigenvalue of a positive M, and is what
    backpropagation through as many steps of gradient descent at a stationary point gives (Lorraine
    et al. 2020, https://arxiv.org/abs/1911.02590; the factor s is missing in some listings).
    Without a step, it is 1 / the largest eigenvalue, by power iterations.
    """

    num_terms: int = 20
    step: float | None = None

    def __post_init__(self) -> None:
        _check_count("num_terms", self.num_terms)

    def approximate(
        self, operator: Operator, b: jax.Array, start: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        step = 1 / largest_eigenvalue(operator, b) if self.step is None else self.step

        def add_term(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            x, residual = carry
            return x + step * residual, residual - step * operator.product(residual)

        first = b - operator.product(start)
        x, residual = jax.lax.fori_loop(0, self.num_terms, add_term, (start, first))
        return x, jnp.linalg.norm(residual) <= GROWTH * jnp.linalg.norm(first)


@dataclasses.dataclass(frozen=True)
class ConjugateGradient(Solver):
    """Conjugate gradients for M + damping I, symmetric; stops where its curvature is not positive.

    Hestenes and Stiefel 1952; for hyper-parameters Pedregosa 2016
    (https://arxiv.org/abs/1602.02355).
    """

    num_iterations: int = 20
    tolerance: float = 1e-10  # of |b - M x| / |b|
    damping: float = 0.0

    def __post_init__(self) -> None:
        _check_count("num_iterations", self.num_iterations)

    def approximate(
        self, operator: Operator, b: jax.Array, start: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        product = lambda v: operator.product(v) + self.damping * v
        small = self.tolerance**2 * jnp.vdot(b, b)

        def iterate(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            x, residual, direction, squared, sound = carry
            image = product(direction)
            curvature = jnp.vdot(direction, image)
            unfinished = squared > small
            sound = sound & ((curvature > 0) | ~unfinished)
            move = unfinished & sound
            length = jnp.where(move, squared / jnp.where(move, curvature, 1), 0)
            residual = residual - length * image
            squared_after = jnp.vdot(residual, residual)
            turn = jnp.where(move, squared_after / jnp.where(move, squared, 1), 0)
            x = x + length * direction
            direction = jnp.where(move, residual + turn * direction, direction)
            return x, residual, direction, squared_after, sound

        residual = b - product(start)
        begun = start, residual, residual, jnp.vdot(residual, residual), jnp.ones((), bool)
        x, _, _, _, sound = jax.lax.fori_loop(0, self.num_iterations, iterate, begun)
        return x, sound


@dataclasses.dataclass(frozen=True)
class NormalConjugateGradient(Solver):
    """Conjugate gradients for transpose(M) M x = transpose(M) b: any M, of squared condition."""

    num_iterations: int = 40
    tolerance: float = 1e-10  # of |transpose(M) (b - M x)| / |transpose(M) b|
    damping: float = 0.0

    def approximate(
        self, operator: Operator, b: jax.Array, start: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        square = lambda v: operator.transposed(operator.product(v))
        solver = ConjugateGradient(self.num_iterations, self.tolerance, self.damping)
        return solver.approximate(Operator(square, square), operator.transposed(b), start)


@dataclasses.dataclass(frozen=True)
class GMRES(Solver):
    """Least residual in growing subspaces, for any M (Saad and Schultz 1986)."""

    num_iterations: int = 20  # products, between restarts
    num_restarts: int = 2
    tolerance: float = 1e-10

    def approximate(
        self, operator: Operator, b: jax.Array, start: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        x, _ = linalg.gmres(
            operator.product,
            b,
            start,
            tol=self.tolerance,
            restart=self.num_iterations,
            maxiter=self.num_restarts,
        )
        return x, jnp.all(jnp.isfinite(x))


@dataclasses.dataclass(frozen=True)
class BiCGStab(Solver):
    """Stabilised bi-conjugate gradients, for any M in little memory (van der Vorst 1992)."""

    num_iterations: int = 40
    tolerance: float = 1e-10

    def approximate(
        self, operator: Operator, b: jax.Array, start: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        x, _ = linalg.bicgstab(
            operator.product, b, start, tol=self.tolerance, maxiter=self.num_iterations
        )
        return x, jnp.all(jnp.isfinite(x))


@dataclasses.dataclass(frozen=True)
class Nystrom(Solver):
    """M as damping I and a matrix of low rank, from `rank` of its columns; M is symmetric.

    Hataya and Yamada 2023 (https://arxiv.org/abs/2302.09726). The damping has to be of the size of
    the eigenvalues that the columns do not show.
    """

    rank: int = 10
    damping: float = 0.1
    seed: int = 0  # of the choice of columns

    def __post_init__(self) -> None:
        _check_count("rank", self.rank)
        if not self.damping > 0:
            raise InputError(f"damping is {self.damping}; it must be positive")

    def approximate(
        self, operator: Operator, b: jax.Array, start: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        del start
        rank = min(self.rank, b.size)
        chosen = jax.random.permutation(jax.random.key(self.seed), b.size)[:rank]
        units = jax.nn.one_hot(chosen, b.size, dtype=b.dtype)
        columns = jax.vmap(operator.product)(units)  # [rank, size]
        times = lambda x, y: jnp.matmul(x, y, precision="highest")
        # (D + C' K^-1 C)^-1, D = damping I, by Woodbury's identity.
        inner = columns[:, chosen] + times(columns, columns.T) / self.damping
        x = b / self.damping
        x = x - times(columns.T, jnp.linalg.solve(inner, times(columns, x))) / self.damping
        return x, jnp.all(jnp.isfinite(x))


@dataclasses.dataclass(frozen=True)
class Identity(Solver):
    """x = scale b: M counts as I / scale (Luketina et al. 2016, https://arxiv.org/abs/1511.06727)."""

    scale: float = 1.0

    def approximate(
        self, operator: Operator, b: jax.Array, start: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        del operator, start
        return self.scale * b, jnp.ones((), bool)


def largest_eigenvalue(operator: Operator, like: jax.Array) -> jax.Array:
    """The size of the largest eigenvalue, [], a few per cent too small at worst."""

    def iterate(_: int, v: jax.Array) -> jax.Array:
        return operator.product(v / jnp.linalg.norm(v))

    start = jax.random.normal(jax.random.key(0), like.shape, like.dtype)
    return jnp.linalg.norm(jax.lax.fori_loop(0, POWER_ITERATIONS, iterate, start))


def _check_count(name: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{name} is {value}; it must be at least 1")


# By the names that configurations have for them.
KINDS: dict[str, type[Solver]] = {
    kind.__name__: kind
    for kind in (
        ConjugateGradient,
        Neumann,
        NormalConjugateGradient,
        GMRES,
        BiCGStab,
        Nystrom,
        Identity,
    )
}
