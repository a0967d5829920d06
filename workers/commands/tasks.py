"""`metaopt tasks`: what there is to train on, and what it costs."""

import dataclasses
import time
from typing import Annotated, Any, NamedTuple

import tyro

from workers.commands.table import print_record, print_records

# JAX is imported by `run`, not before: help is instant.

TIMED_STEPS = 100
LEARNING_RATE = 0.01  # of the SGD that is timed


@dataclasses.dataclass(frozen=True)
class TasksList:
    """Lists the task families, with the keys of their names and the defaults."""

    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per family."""
        from taskset.catalog import FAMILIES

        records = [
            {
                "family": name,
                "keys and defaults": {
                    field.name: _plain(field.default) for field in dataclasses.fields(family)
                },
                "what": (family.__doc__ or "").partition("\n")[0],
            }
            for name, family in FAMILIES.items()
        ]
        print_records(records, self.json)
        return 0


@dataclasses.dataclass(frozen=True)
class TasksShow:
    """Shows one task: its configuration, data and size, and what an inner step costs."""

    # as mlp:dataset=digits,hidden=32x16
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per fact. Prepares the data set if that needs no download."""
        import jax

        from taskset import catalog

        family = catalog.build(self.name)
        record = {"name": catalog.name_of(family)} | _configuration(family) | _data(family)
        record |= _size(family)._asdict()
        record |= _measure(family, jax.random.key(0))._asdict()
        print_record(record, self.json)
        return 0


@dataclasses.dataclass(frozen=True)
class TasksSample:
    """Draws configurations from a family's own distribution."""

    # see `metaopt tasks list`
    family: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FAMILY")]
    num: int = 10  # configurations
    seed: int = 0  # of the first; the next has the next
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per configuration, with its name."""
        from taskset import catalog
        from taskset.errors import InputError

        if self.num < 1:
            raise InputError(f"--num is {self.num}; it must be at least 1")
        families = [catalog.draw(self.family, self.seed + index) for index in range(self.num)]
        records = [
            {
                "name": catalog.name_of(family),
                "parameters": _size(family).parameters,
                "data set": getattr(family, "dataset", None),
                "batch": family.batch_size,
            }
            for family in families
        ]
        print_records(records, self.json)
        return 0


class Size(NamedTuple):
    """What a task holds in memory."""

    parameters: int
    parameter_bytes: int
    batch_bytes: int


class Cost(NamedTuple):
    """What training a task costs here, with plain gradient descent."""

    initial_loss: float
    flops_per_step: int | None  # by the compiler's count, one minibatch; None where it has none
    milliseconds_per_step: float


def _plain(value: Any) -> Any:
    return "x".join(map(str, value)) if isinstance(value, tuple) else value


def _configuration(family: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(family, field.name)) for field in dataclasses.fields(family)}


def _data(family: Any) -> dict[str, Any]:
    from taskset.data import sources

    if not hasattr(family, "dataset"):
        return {}
    info = sources.info(family.dataset, family.source)
    return {
        "image": "x".join(map(str, info.image_shape)),
        "classes": info.num_classes,
        "examples": dict(info.num_examples),
        "fingerprint": info.fingerprint[:16],
    }


def _size(family: Any) -> Size:
    """Sizes by shape alone: nothing is allocated."""
    import jax

    def start(key: jax.Array) -> tuple[Any, Any]:
        data = family.load_data()
        batch = data.sample("train", key, family.batch_size)
        return family.sample(data, key).init(key), batch

    params, batch = map(jax.tree.leaves, jax.eval_shape(start, jax.random.key(0)))
    num_bytes = lambda leaves: sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    return Size(sum(leaf.size for leaf in params), num_bytes(params), num_bytes(batch))


def _measure(family: Any, key: Any) -> Cost:
    """Trains one task for a moment."""
    import jax

    data = family.load_data()
    task = family.sample(data, key)
    params = task.init(key)

    def step(params: Any, data: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        batch = data.sample("train", key, family.batch_size)
        loss, grads = jax.value_and_grad(task.loss)(params, batch, key)
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, grads), loss

    @jax.jit
    def train(params: Any, data: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        keys = jax.random.split(key, TIMED_STEPS)
        return jax.lax.scan(lambda params, key: step(params, data, key), params, keys)

    analysis = jax.jit(step).lower(params, data, key).compile().cost_analysis() or {}
    flops = analysis.get("flops")
    _, losses = jax.block_until_ready(train(params, data, key))  # compiles
    start = time.perf_counter()
    jax.block_until_ready(train(params, data, key))
    seconds = (time.perf_counter() - start) / TIMED_STEPS
    return Cost(float(losses[0]), None if flops is None else int(flops), 1000 * seconds)
