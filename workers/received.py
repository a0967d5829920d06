"""What a worker sent, as a result of what it was asked for, or refused."""

from typing import Any

from metaopt.aggregate import WorkerResult
from metaopt.learned_optimizers.base import MetaParams
from workers import seeds, wire
from workers.worker import WorkerSpec


def received(
    packed: Any, spec: WorkerSpec, meta_params: MetaParams, outer_step: int
) -> WorkerResult:
    """The result of a worker that was asked for `outer_step`, with its gradient.

    Of `meta_params` only shapes count. Raises `ValueError` for anything else.
    """
    result = wire.unpack(packed)
    if not isinstance(result, WorkerResult):
        raise ValueError(f"it sent a {type(result).__name__} in the place of a result")
    if result.outer_step != outer_step:
        raise ValueError(f"its result is of outer step {result.outer_step}, not {outer_step}")
    if spec.wire == "seeds":
        result = seeds.expanded(result, spec, meta_params)
    if wire.shapes(result.estimate.gradient) != wire.shapes(meta_params):
        raise ValueError("its gradient does not have the shapes of meta_params")
    return result
