"""Problems in two variables: bowls, and the test functions of optimisation."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem
from taskset.networks.dims import Dim, Scalar

PI = math.pi


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bowl(Problem):
    """0.5 * |M x|**2 in two variables, least value 0 at 0."""

    matrix: Scalar  # [2, 2] float32

    @property
    def dims(self) -> Dims:
        return (Dim(2),)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del batch, key
        return 0.5 * jnp.sum((self.matrix @ params) ** 2)


def bowl(condition: float, angle: float = 0.0) -> Bowl:
    """The bowl of curvatures `condition` and 1 along axes turned by `angle`, in radians."""
    sin, cos = math.sin(angle), math.cos(angle)
    matrix = np.diag([math.sqrt(condition), 1.0]) @ np.asarray([[cos, -sin], [sin, cos]])
    return Bowl(matrix.astype(np.float32))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TwoDFunction(Problem):
    """A function of `FUNCTIONS` in two variables."""

    name: str = dataclasses.field(metadata={"static": True})

    @property
    def dims(self) -> Dims:
        return (Dim(2),)

    def init(self, key: Key) -> Params:
        """Uniform in the region of the function, or standard normal where it has none."""
        region = FUNCTIONS[self.name].region
        if region is None:
            return super().init(key)
        low, high = (np.asarray(corner, np.float32) for corner in region)
        return jax.random.uniform(key, (2,)) * (high - low) + low

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del batch, key
        return FUNCTIONS[self.name].value(params[0], params[1])


class Function(NamedTuple):
    """A function of two variables, and where its start is drawn from."""

    value: Callable[[jax.Array, jax.Array], jax.Array]
    region: tuple[tuple[float, float], tuple[float, float]] | None = None  # low, high corner


def _square(bound: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return (-bound, -bound), (bound, bound)


def _rosenbrock(x: jax.Array, y: jax.Array) -> jax.Array:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _ackley(x: jax.Array, y: jax.Array) -> jax.Array:
    far = -20 * jnp.exp(-0.2 * jnp.sqrt(0.5 * (x**2 + y**2)))
    return far - jnp.exp(0.5 * (jnp.cos(2 * PI * x) + jnp.cos(2 * PI * y))) + (math.e + 20)


def _beale(x: jax.Array, y: jax.Array) -> jax.Array:
    terms = ((1.5, y), (2.25, y**2), (2.625, y**3))
    return sum(((c - x + x * power) ** 2 for c, power in terms), jnp.zeros_like(x))


def _branin(x: jax.Array, y: jax.Array) -> jax.Array:
    valley = y - 5.1 * x**2 / (4 * PI**2) + 5 * x / PI - 6
    return valley**2 + 10 * (1 - 1 / (8 * PI)) * jnp.cos(x) + 10


def _log_sum_exp(x: jax.Array, y: jax.Array) -> jax.Array:
    terms = (x + 3 * y - 0.1, x - 3 * y - 0.1, -x - 0.1, jnp.zeros_like(x))
    return jax.nn.logsumexp(jnp.stack(terms))


def _matyas(x: jax.Array, y: jax.Array) -> jax.Array:
    return 0.26 * (x**2 + y**2) - 0.48 * x * y


def _michalewicz(x: jax.Array, y: jax.Array) -> jax.Array:
    ridges = jnp.sin(x) * jnp.sin(x**2 / PI) ** 10 + jnp.sin(y) * jnp.sin(2 * y**2 / PI) ** 10
    return 2 - ridges


def _styblinski_tang(x: jax.Array, y: jax.Array) -> jax.Array:
    terms = (z**4 - 16 * z**2 + 5 * z for z in (x, y))
    return 0.5 * sum(terms, jnp.zeros_like(x)) + 80


FUNCTIONS = {
    "StyblinskiTang": Function(_styblinski_tang, _square(5.0)),
    "ackley": Function(_ackley, _square(32.768)),
    "beale": Function(_beale, _square(4.5)),
    "booth": Function(lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2, _square(10.0)),
    "branin": Function(_branin, ((-5.0, 0.0), (10.0, 15.0))),
    "logsumexp": Function(_log_sum_exp),
    "matyas": Function(_matyas, _square(10.0)),
    "michalewicz": Function(_michalewicz, ((0.0, 0.0), (PI, PI))),
    "rosenbrock": Function(_rosenbrock, ((-5.0, -5.0), (10.0, 10.0))),
    "saddle": Function(lambda x, y: x**2 - y**2),
}
