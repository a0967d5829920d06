"""The 8 fixed tasks in two variables, without noise or data."""

import functools

from taskset.configured import NoExamples, TaskSpec
from taskset.families.losg_tasks import Wrapping, two_d, wrap
from taskset.fixed import BuildFixed
from taskset.losg.starts import FixedStart
from taskset.losg.two_d import bowl
from taskset.options import Options

RELEASED_SEED = 123  # of the one start that all replicas of the released code have


def _build(name: str, condition: float, options: Options) -> TaskSpec:
    """The task of a test function, or of the bowl of a condition number, along the axes."""
    problem = wrap(two_d(name, bowl(condition), options), Wrapping(), options)
    if options.released:
        problem = FixedStart(problem, RELEASED_SEED)
    return TaskSpec(problem, NoExamples(), 0)


_BOWLS = {f"TwoD_Bowl{condition}": condition for condition in (1, 10, 100, 1000)}
_FUNCTIONS = {
    "TwoD_Rosenbrock": "rosenbrock",
    "TwoD_Ackley": "ackley",
    "TwoD_Beale": "beale",
    "TwoD_StyblinskiTang": "StyblinskiTang",
}

TASKS: dict[str, BuildFixed] = {
    name: functools.partial(_build, "bowl", float(condition)) for name, condition in _BOWLS.items()
} | {name: functools.partial(_build, function, 1.0) for name, function in _FUNCTIONS.items()}
