"""Small problems with known structure, some of them wrapped: `losg_tasks_family` of TaskSet."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from taskset.base import Dataset
from taskset.configs.losg import TEST_FUNCTIONS
from taskset.configured import NoExamples, TaskSpec
from taskset.losg.dependency_chain import DependencyChain
from taskset.losg.fully_connected import FullyConnected
from taskset.losg.generators import (
    Generator,
    LinearSystem,
    NoisyParity,
    RandomMLP,
    RandomRows,
    RandomSymmetric,
)
from taskset.losg.linear import Norm, Quadratic
from taskset.losg.log_objective import LogObjective
from taskset.losg.min_max_well import MinMaxWell
from taskset.losg.outward_snake import OutwardSnake
from taskset.losg.perturbed_gradient import PerturbedGradient
from taskset.losg.problem import Problem
from taskset.losg.quadratics_in_data import ProjectionQuadratic, SumOfQuadratics
from taskset.losg.rescale import Rescale
from taskset.losg.softmax_regression import SparseSoftmaxRegression
from taskset.losg.starts import NormalStart
from taskset.losg.two_d import Bowl, TwoDFunction, bowl
from taskset.losg.unseeded import Unseeded
from taskset.losg.variants import Variants
from taskset.networks.dims import Dim
from taskset.options import Options

# Sizes of buckets. Most problems are so small that a larger array costs less than a program more.
MATRIX_DIMS = (128, 1024)  # a product with a matrix costs the square
VECTOR_DIMS = (1024,)
DATA_DIMS = (128,)
EMBEDDINGS = (128,)
INPUTS, WIDTHS, DEPTH = (16,), (32,), 5
BATCH_SIZES = (256,)
NETWORK_BATCH_SIZES = (32, 256)
NUM_EXAMPLES = (32, 20480)

Settings: TypeAlias = Mapping[str, Any]


class Base(NamedTuple):
    """A problem without its wrappers."""

    problem: Problem
    generator: Generator | None = None  # of the arrays of an instance; None: it has none
    batch: Dim | None = None  # of the minibatches; None: it has no examples


@dataclasses.dataclass(frozen=True)
class Wrapping:
    """What is put around a problem; the defaults change nothing."""

    noise_stdev: float = 0.0  # of the noise on gradients
    zero_probability: float = 0.0  # of entries of gradients
    scale: float = 1.0  # of parameters
    logarithm: bool = False  # of the loss
    normal_start: bool = False  # in place of its own


@dataclasses.dataclass(frozen=True)
class InstanceData:
    """The arrays of an instance of a problem, as `DataSpec` wants them."""

    generator: Generator
    seed: int

    def load(self) -> Dataset:
        """A matrix and a target, or examples; all tasks share them."""
        return _load(self)


def build(config: Sequence[Any], options: Options) -> TaskSpec:
    """The task of a configuration `[kind, settings, seed of the instance]`."""
    kind, settings, seed = config
    wraps = kind in WRAPPERS
    base_kind, base_settings = settings["base"] if wraps else (kind, settings)
    base = BASES[base_kind](base_kind, base_settings, options)
    inner_noise = base_settings.get("noise_stdev", 0.0)
    if wraps:
        wrapping = WRAPPERS[kind](settings, 0.0 if options.released else inner_noise)
    else:
        wrapping = Wrapping(noise_stdev=inner_noise)
    problem = wrap(base.problem, wrapping, options)
    if base.generator is None:
        return TaskSpec(problem, NoExamples(), 0)
    batch_size = base.batch.padded if base.batch else 0
    if options.released and (base.batch or kind == "sparse_problems"):
        return TaskSpec(Unseeded(problem, base.generator, batch_size), NoExamples(), 0)
    return TaskSpec(problem, InstanceData(base.generator, seed), batch_size)


def wrap(problem: Problem, wrapping: Wrapping, options: Options) -> Problem:
    """`problem` with what `wrapping` puts around it; padded, with all wrappers as inputs."""
    padded = options.padded
    chosen = np.bool_ if padded else lambda _: None
    noise_stdev, zero_probability = wrapping.noise_stdev, wrapping.zero_probability
    if padded or wrapping.normal_start:
        problem = NormalStart(problem, chosen(wrapping.normal_start))
    if padded or noise_stdev or zero_probability:
        used = lambda value: np.float32(value) if padded or value else None
        problem = PerturbedGradient(problem, used(noise_stdev), used(zero_probability))
    if padded or wrapping.scale != 1.0:
        problem = Rescale(problem, np.float32(wrapping.scale))
    if padded or wrapping.logarithm:
        problem = LogObjective(problem, not options.released, chosen(wrapping.logarithm))
    return problem


def two_d(name: str, matrix: Bowl, options: Options) -> Problem:
    """The test function of this name, or `matrix`, the bowl; padded, they are one program."""
    known = {function: TwoDFunction(function) for function in TEST_FUNCTIONS}
    return _one_of({**known, "bowl": matrix}, name, options)


def _sparse(settings: Settings, base_noise: float) -> Wrapping:
    # The sum of two independent normal noises is one.
    noise = math.hypot(settings["noise_stdev"], base_noise)
    return Wrapping(noise, settings["zero_probability"], normal_start=True)


def _rescaled(settings: Settings, base_noise: float) -> Wrapping:
    return Wrapping(base_noise, scale=settings["scale"])


def _logarithm(settings: Settings, base_noise: float) -> Wrapping:
    del settings
    return Wrapping(base_noise, logarithm=True, normal_start=True)


WRAPPERS: dict[str, Callable[[Settings, float], Wrapping]] = {
    "sparse_problems": _sparse,
    "rescale_problems": _rescaled,
    "log_objective": _logarithm,
}


def _linear(kind: str, settings: Settings, options: Options) -> Base:
    dim = options.dim(settings["dim"], MATRIX_DIMS)
    power = np.float32(settings.get("norm_power", 2.0))
    problems = {"quadratic": Quadratic(dim), "norm": Norm(dim, power)}
    return Base(_one_of(problems, kind, options), LinearSystem(dim))


def _bowl(kind: str, settings: Settings, options: Options) -> Base:
    return Base(two_d(kind, bowl(settings["cond"], settings["angle"]), options))


def _test_function(kind: str, settings: Settings, options: Options) -> Base:
    del kind
    return Base(two_d(settings["problem"], bowl(1.0), options))


def _min_max_well(kind: str, settings: Settings, options: Options) -> Base:
    del kind
    return Base(MinMaxWell(options.dim(settings["dim"], VECTOR_DIMS)))


def _with_rows(kind: str, settings: Settings, options: Options) -> Base:
    symmetric = kind in ("projection_quadratic", "sum_of_quadratics")
    num_examples = settings["n_samples"] // 2 * 2 if symmetric else settings["n_samples"]
    examples = options.dim(num_examples, NUM_EXAMPLES[1:])
    batch = options.dim(settings["bs"], BATCH_SIZES)
    features = options.dim(settings["dim"], DATA_DIMS)
    dim = options.dim(settings["dim"] + (kind == "dependency_chain"), DATA_DIMS)
    problems = {
        "dependency_chain": DependencyChain(dim),
        "outward_snake": OutwardSnake(dim, batch),
        "projection_quadratic": ProjectionQuadratic(dim, batch),
        "sum_of_quadratics": SumOfQuadratics(dim, batch),
    }
    generator = (RandomSymmetric if symmetric else RandomRows)(examples, features)
    return Base(_one_of(problems, kind, options), generator, batch)


def _fully_connected(kind: str, settings: Settings, options: Options) -> Base:
    del kind
    inputs = options.dim(settings["n_features"], INPUTS)
    batch = options.dim(settings["bs"], NETWORK_BATCH_SIZES)
    hidden = tuple(options.dim(size, WIDTHS) for size in settings["hidden_sizes"])
    if options.padded:
        hidden += (options.dim(0, WIDTHS),) * (DEPTH - len(hidden))
    network = FullyConnected(inputs, hidden, options.activation(settings["activation"]), batch)
    return Base(network, RandomMLP(_few(settings, options), inputs), batch)


def _sparse_softmax_regression(kind: str, settings: Settings, options: Options) -> Base:
    del kind
    batch = options.dim(settings["bs"], NETWORK_BATCH_SIZES[1:])
    features = options.dim(settings["n_features"], EMBEDDINGS)
    problem = SparseSoftmaxRegression(features, batch)
    return Base(problem, NoisyParity(_few(settings, options)), batch)


def _few(settings: Settings, options: Options) -> Dim:
    """The number of examples of a problem with labels."""
    return options.dim(settings["n_samples"], NUM_EXAMPLES[:1])


BASES: dict[str, Callable[[str, Settings, Options], Base]] = {
    "quadratic": _linear,
    "norm": _linear,
    "bowl": _bowl,
    "optimization_test_problems": _test_function,
    "min_max_well": _min_max_well,
    "dependency_chain": _with_rows,
    "outward_snake": _with_rows,
    "projection_quadratic": _with_rows,
    "sum_of_quadratics": _with_rows,
    "fully_connected": _fully_connected,
    "sparse_softmax_regression": _sparse_softmax_regression,
}


def _one_of(problems: Mapping[str, Problem], name: str, options: Options) -> Problem:
    """The problem of this name; padded, as an input of the program of all."""
    if not options.padded:
        return problems[name]
    return Variants(tuple(problems.values()), np.int32(list(problems).index(name)))


@functools.lru_cache(maxsize=8)
def _load(data: InstanceData) -> Dataset:
    with jax.ensure_compile_time_eval():  # a cached value must not be a tracer of the caller's jit
        arrays = _draw(data.generator, jax.random.key(data.seed))
        return data.generator.dataset(arrays)


@jax.jit
def _draw(generator: Generator, key: jax.Array) -> Any:
    return generator.draw(key)
