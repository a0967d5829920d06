"""What was done, in words: every choice that a number of the report rests on."""

from metaopt.bootstrap import CONFIDENCE
from metaopt.evaluation_report.data import Evaluated
from metaopt.evaluation_report.measures import NUM_RESAMPLES, TOLERANCE, judged, with_envelope
from metaopt.pages.numbers import percent
from metaopt.pages.page import Section
from metaopt.protocols import performance_profile, speed_up

FEW_SEEDS = 10


def section(evaluated: Evaluated) -> Section:
    """The methods."""
    return Section(
        "methods",
        "Methods",
        text=(
            *_runs(evaluated),
            *_choices(evaluated),
            *_numbers(evaluated),
            *_limits(evaluated),
        ),
    )


def _runs(evaluated: Evaluated) -> list[str]:
    return [
        f"Runs. Every optimizer trained each of the {len(evaluated.tasks)} tasks of the suite "
        f"{evaluated.suite} with the same {len(evaluated.seeds)} seeds. A seed fixes the draw of "
        "the task, the start and the minibatches, so runs of different optimizers are paired. "
        "Optimizers that take it are told the number of steps, except where a wrong one is "
        "announced on purpose. Tasks with a wrong announcement are in the section on it and in "
        "the counts of failures, and in no other number.",
    ]


def _choices(evaluated: Evaluated) -> list[str]:
    said = [
        f"{optimizer.name}: {optimizer.tuning}, {optimizer.configurations} settings and "
        f"{optimizer.tuning_runs:,} tuning runs a task, chosen {optimizer.chosen}"
        for optimizer in evaluated.optimizers
    ]
    return [f"Who chose on what. {'; '.join(said)}."]


def _numbers(evaluated: Evaluated) -> list[str]:
    tasks = judged(evaluated)
    return [
        "Normalised loss (TaskSet, arXiv:2002.11887): linear in the final loss on the whole train "
        "split, 1 at the initial loss of the task and 0 at the best loss that any baseline reached "
        "on it. What is above 1, or not finite, is 1; there is no lower bound. The score is 1 less "
        "that.",
        f"Aggregates (arXiv:2108.13264): over {len(tasks)} tasks and all seeds together. The "
        "interquartile mean is that of the middle half of all runs; the optimality gap is how "
        "far scores are below 1 on average; the probability of improvement is the share of pairs "
        f"of runs on a task that are won, a tie being half. Intervals are {percent(CONFIDENCE)} "
        f"percentiles of {NUM_RESAMPLES:,} resamples of the seeds within each task, further out "
        "the fewer seeds there are (arXiv:1411.5279): they are for other seeds on these tasks, not "
        "for other tasks.",
        f"Speed-up (arXiv:2211.09760), on the {len(with_envelope(tasks))} tasks with curves of a "
        "grid of Adam: these are averaged over seeds after an exponential average of decay "
        f"{speed_up.DECAY:g} over steps; the least over rates at each step, and its running "
        "minimum, are the envelope. It is inverted by linear interpolation at the last smoothed "
        "loss of each run. It is censored there: what a loss that the envelope never reaches is "
        "worth in steps of Adam is not known, only that it is more than Adam ran. Of such a run, "
        "which are counted, the speed-up is that at the last loss of the envelope, which both "
        "reach. Intervals do not resample the envelope.",
        "Times and profiles (AlgoPerf, arXiv:2306.07179): the first recorded step at which the "
        "smoothed loss is at the target, the median over seeds; the target is the least median "
        f"end of all but the subject, plus {percent(TOLERANCE)} of the way to the initial loss. "
        "Ratios are to the fastest optimizer on the task, and the score is the mean height of "
        f"the profile from 1 to {performance_profile.LARGEST_RATIO:g}. Seconds are steps times "
        "the measured time of a step.",
    ]


def _limits(evaluated: Evaluated) -> list[str]:
    found = []
    if len(evaluated.seeds) < FEW_SEEDS:
        found.append(
            f"With {len(evaluated.seeds)} seeds the intervals rest on noise that is about as large "
            "on all tasks: in simulations of 8 tasks, intervals of nominally 95 % held the truth "
            "in 93 to 97 % of cases; with fifteen times the noise on one task as on another, in "
            "89 to 93 % with 3 seeds and 92 to 94 % with 5."
        )
    return found
