"""The numbers of a report, recomputed by plain loops from the evaluation as it was written."""

import math
import statistics

import numpy as np
import pytest
from evaluation_files import evaluation

from metaopt.evaluation_report import data, horizon, measures, transfer
from metaopt.evaluation_report.measures import TOLERANCE

FILE = evaluation(num_tasks=6, num_seeds=5, num_points=40)
FOUND = data.read(FILE)
STANDINGS = {one.name: one for one in measures.standings(FOUND)}
JUDGED = [task for task in FILE["tasks"] if task["axis"] != "wrong_horizon"]
NAMES = [optimizer["name"] for optimizer in FILE["optimizers"]]
SUBJECT = NAMES[0]


def final(task, name: str, measure: str = "final_train_loss") -> list[float]:
    losses = task["results"].get(name, {}).get(measure, [None] * 5)
    return [math.inf if loss is None else loss for loss in losses]


def normalized(task, name: str) -> list[float]:
    initial, best = task["anchors"]["initial"], task["anchors"]["best"]
    return [min((loss - best) / (initial - best), 1.0) for loss in final(task, name)]


def middle_mean(values) -> float:
    ordered = sorted(values)
    cut = len(ordered) // 4
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)


def speed_up(task, name: str, seed: int) -> float:
    """At the last loss of the run, or at that of the envelope where the run ends below it."""
    if name not in task["results"]:
        return 0.0
    steps, rates = task["steps"], task["adam_grid"]["curves"]
    means = [[sum(seeds) / 5 for seeds in zip(*rate)] for rate in rates]
    envelope: list[float] = []
    for losses in zip(*means):
        envelope.append(min([*losses, *envelope[-1:]]))
    curve = [math.inf if x is None else x for x in task["results"][name]["curves"][seed]]
    if curve[-1] > envelope[0]:
        return 0.0
    if curve[-1] < envelope[-1]:
        ours = next(s for s, loss in zip(steps, curve) if loss <= envelope[-1])
        return next(s for s, loss in zip(steps, envelope) if loss == envelope[-1]) / ours
    after = next(i for i, loss in enumerate(envelope) if loss <= curve[-1])
    if envelope[after] == curve[-1]:
        return steps[after] / steps[-1]
    share = (envelope[after - 1] - curve[-1]) / (envelope[after - 1] - envelope[after])
    return (steps[after - 1] + share * (steps[after] - steps[after - 1])) / steps[-1]


def time_to_target(task, name: str, seconds: bool) -> float:
    ends = [
        statistics.median(math.inf if c[-1] is None else c[-1] for c in result["curves"])
        for other, result in task["results"].items()
        if other != SUBJECT
    ]
    target = min(ends) + TOLERANCE * (task["anchors"]["initial"] - min(ends))
    if name not in task["results"]:
        return math.inf
    unit = task["results"][name]["step_milliseconds"] / 1e3 if seconds else 1.0
    first = [
        next((s for s, x in zip(task["steps"], curve) if x is not None and x <= target), math.inf)
        for curve in task["results"][name]["curves"]
    ]
    return statistics.median(first) * unit


@pytest.mark.parametrize("name", NAMES)
def test_scores(name):
    scores = [1 - x for task in JUDGED for x in normalized(task, name)]
    found = STANDINGS[name]
    assert found.score.value == pytest.approx(middle_mean(scores), abs=1e-9)
    gap = sum(max(1 - x, 0) for x in scores) / len(scores)
    assert found.optimality_gap.value == pytest.approx(gap, abs=1e-9)
    assert found.score.interval[0] <= found.score.value <= found.score.interval[1]


@pytest.mark.parametrize("name", NAMES)
def test_speed_ups(name):
    plain = [speed_up(task, name, seed) for task in JUDGED for seed in range(5)]
    found = measures.speed_ups(measures.judged(FOUND), name, 5)
    np.testing.assert_allclose(np.ravel(found.values), plain, rtol=1e-9, atol=1e-12)
    assert STANDINGS[name].speed_up.value == pytest.approx(middle_mean(plain), abs=1e-9)
    assert STANDINGS[name].num_beyond == found.num_censored


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize(
    "field, measure", [("improvement", "final_train_loss"), ("test_improvement", "test_loss")]
)
def test_probabilities_of_improvement(name, field, measure):
    wins = [
        sum(
            (a < b) + (a == b) / 2
            for a in final(task, SUBJECT, measure)
            for b in final(task, name, measure)
        )
        for task in JUDGED
    ]
    found = getattr(STANDINGS[name], field)
    assert found.value == pytest.approx(sum(wins) / (25 * len(JUDGED)), abs=1e-9)


@pytest.mark.parametrize("name", NAMES[1:])
def test_loss_ratios_are_paired_by_seed(name):
    pairs = [pair for task in JUDGED for pair in zip(final(task, SUBJECT), final(task, name))]
    ratios = [1.0 if a == b else a / b for a, b in pairs]
    assert STANDINGS[name].loss_ratio.value == pytest.approx(middle_mean(ratios), rel=1e-9)


@pytest.mark.parametrize("seconds", [False, True])
def test_profile_scores(seconds):
    times = {n: [time_to_target(task, n, seconds) for task in JUDGED] for n in NAMES}
    fastest = [min(column) for column in zip(*times.values())]
    for name in NAMES:
        # The mean over tasks of the share of 1 to 4 that lies above the ratio.
        ratios = [t / f if t < math.inf else math.inf for t, f in zip(times[name], fastest)]
        score = sum(max(4 - r, 0) for r in ratios) / 3 / len(JUDGED)
        field = "profile_score_seconds" if seconds else "profile_score_steps"
        assert getattr(STANDINGS[name], field) == pytest.approx(score, abs=1e-9)


def test_a_task_that_failed_is_the_worst_there_is():
    (missing,) = {task["task"] for task in JUDGED if "Muon" not in task["results"]}
    tasks = [task for task in measures.judged(FOUND) if task.name == missing]
    assert not np.any(measures.scores(tasks, "Muon", 5))
    assert not np.any(measures.speed_ups(tasks, "Muon", 5).values)
    assert np.all(np.isinf(measures.times(FOUND, tasks).steps[NAMES.index("Muon")]))
    beaten = measures.losses(tasks, "Muon", 5) > measures.losses(tasks, "SGD", 5)
    assert np.all(beaten)


def test_diverged_runs_are_counted_where_they_are():
    for name in NAMES:
        written = sum(t["results"].get(name, {}).get("diverged", 0) for t in FILE["tasks"])
        assert STANDINGS[name].failures.diverged == written
    assert STANDINGS["SGD"].failures.diverged > 0


def test_tasks_without_a_scale_are_not_judged():
    bad = [
        {"initial": 1.0, "best": 1.0},
        {"initial": None, "best": 0.5},
        {"initial": 1.0, "best": None},
    ]
    tasks = [task | {"anchors": anchors} for task, anchors in zip(FILE["tasks"], bad)]
    found = data.read(FILE | {"tasks": [*tasks, FILE["tasks"][5]]})
    assert [task.name for task in measures.judged(found)] == [FILE["tasks"][5]["task"]]


def test_what_a_wrong_horizon_costs_is_paired_with_the_true_runs():
    (figure,) = horizon.section(FOUND).figures
    found = {(row[0], row[1]): row[3] for row in figure.data.rows}
    true = {task["task"]: task for task in FILE["tasks"]}
    for scale in (0.2, 0.5, 2.0, 5.0):
        wrong = [t for t in FILE["tasks"] if (t["axis"], t["scale"]) == ("wrong_horizon", scale)]
        excess = [
            a - b
            for task in wrong
            for a, b in zip(
                normalized(task, SUBJECT),
                normalized(true[task["task"].partition(", told")[0]], SUBJECT),
            )
        ]
        assert found[SUBJECT, scale].value == pytest.approx(middle_mean(excess), abs=1e-9)
        assert found["Adam", scale].value == 0


def test_scores_by_scale_stand_beside_the_tasks_that_were_changed():
    (figure,) = transfer.scale_section(FOUND, NAMES[:2]).figures
    found = {tuple(row[:3]): row[4] for row in figure.data.rows}
    width = [t for t in FILE["tasks"] if t["axis"] == "width"]
    bases = [t for t in FILE["tasks"] if t["task"] in {w["of"] for w in width}]
    assert found["Adam", "width", 1.0].value == pytest.approx(
        middle_mean(1 - x for t in bases for x in normalized(t, "Adam")), abs=1e-9
    )
    (four,) = [t for t in width if t["scale"] == 4.0]
    assert found["Adam", "width", 4.0].value == pytest.approx(
        middle_mean(1 - x for x in normalized(four, "Adam")), abs=1e-9
    )
