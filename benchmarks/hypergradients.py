"""Time and memory of one hyper-gradient, by every method on one problem.

    python benchmarks/hypergradients.py [--json FILE] [--picture FILE] [--steps 100 400 1600]

The problem is an MLP 64-256-256-10 on digits, 85,002 parameters, minibatches of 50, damped momentum
of 0.9; the hyper-parameters are 6 penalties, one a tensor, so that every method has them. One run
behind each hyper-gradient. What FILE has already is not measured again, if it is by this script: so
a run that was stopped goes on.

seconds   CPU time of the median call, all threads together; compiled before
compile   CPU seconds; nothing is cached
copies    memory, in copies of the parameters: temporary, by the compiler's own report, and of the
          state that is kept from one hyper-gradient to the next

The tape has room for 2 bits of each number and step; steps are so large here that few can do.
"""

import dataclasses
import hashlib
import json
import pathlib
import time
from typing import Annotated, Any

import jax
import measure
import tyro
from matplotlib import pyplot

import taskset
from metaopt.estimators import (
    DirectGradient,
    ForwardMode,
    FullBackprop,
    FullES,
    GradientEstimator,
    Implicit,
    OnlineForwardMode,
    ReversibleBackprop,
    TapedBackprop,
)
from metaopt.horizons import Endless, Fixed
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.self_tuning.problem import SelfTuning
from metaopt.trainings import Schedules

FAMILY = taskset.build("mlp:dataset=digits,hidden=256x256,batch_size=50")
TRAINING = Schedules(1, 6, ("penalty",), learning_rate=0.2, penalty=1e-4, damped=True)
PROBLEM = HyperparameterTraining(FAMILY, TRAINING)
PARAMETERS = 85_002
TITLE = "Hyper-gradients, MLP 64-256-256-10"
REPEATS = {100: 3}  # of the calls of short runs; 1 of others


def methods(num_steps: int) -> dict[str, GradientEstimator]:
    """Every method, for runs of `num_steps`; of those that go on, the cost of so many more."""
    whole: Any = {"num_tasks": 1, "horizon": Fixed(num_steps)}
    goes_on: Any = {"num_tasks": 1, "horizon": Endless(), "truncation": num_steps}
    backprop = FullBackprop(PROBLEM, objective="final", **whole)
    remats = ("none", "step", "sqrt", "treeverse")
    return {
        **{f"FullBackprop, {r}": dataclasses.replace(backprop, remat=r) for r in remats},
        "ReversibleBackprop, int64": ReversibleBackprop(PROBLEM, **whole),
        "ReversibleBackprop, int32": ReversibleBackprop(PROBLEM, precision="int32", **whole),
        "TapedBackprop": TapedBackprop(PROBLEM, predictions=16, room=2.0, **whole),
        "ForwardMode": ForwardMode(PROBLEM, **whole),
        "OnlineForwardMode": OnlineForwardMode(PROBLEM, **goes_on),
        "Implicit, 20 steps of CG": Implicit(PROBLEM, **goes_on),
        "SelfTuning, 5 groups": DirectGradient(SelfTuning(FAMILY, TRAINING, groups=5), **goes_on),
        "FullES, 1 pair": FullES(PROBLEM, objective="final", **whole),
    }


def row(name: str, num_steps: int, estimator: GradientEstimator) -> dict[str, Any]:
    """One row of the table."""
    problem = estimator.problem
    assert isinstance(problem, HyperparameterTraining)
    data, key = problem.load_data(), jax.random.key(0)
    meta_params = problem.start(data, key)
    state = jax.jit(estimator.init)(meta_params, data, key)
    cpu = time.process_time()
    program = jax.jit(estimator.estimate).lower(meta_params, state, data, key).compile()
    compiled = time.process_time() - cpu
    repeats = REPEATS.get(num_steps, 1)
    timing = measure.timed(lambda: program(meta_params, state, data, key), repeats)
    kept = sum(leaf.nbytes for leaf in jax.tree.leaves(state) if hasattr(leaf, "nbytes"))
    memory = (program.memory_analysis().temp_size_in_bytes + kept) / (4 * PARAMETERS)
    return {
        "method": name,
        "steps": num_steps,
        "seconds": timing.cpu,
        "compile": compiled,
        "copies": memory,
    }


def main(
    steps: tuple[int, ...] = (100, 400, 1600),
    only: str = "",
    file: Annotated[pathlib.Path | None, tyro.conf.arg(name="json", metavar="FILE")] = None,
    picture: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Measures every method whose name has `only` in it, for every number of steps."""
    jax.config.update("jax_enable_compilation_cache", False)
    rows = measured(file)
    for num_steps in steps:
        for name, estimator in methods(num_steps).items():
            if only in name and (name, num_steps) not in {(r["method"], r["steps"]) for r in rows}:
                rows.append(row(name, num_steps, estimator))
                print(rows[-1], flush=True)
                jax.clear_caches()
                if file:
                    file.write_text(json.dumps(record(rows), indent=2) + "\n")
    measure.report(TITLE, rows, None)
    if picture:
        draw(rows, picture)


def record(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What FILE holds."""
    script = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
    return {"title": TITLE, "script": script, "rows": rows}


def measured(file: pathlib.Path | None) -> list[dict[str, Any]]:
    """The rows of `file` that this very script wrote."""
    if not file or not file.exists():
        return []
    found = json.loads(file.read_text())
    return found["rows"] if found == record(found["rows"]) else []


def draw(rows: list[dict[str, Any]], path: pathlib.Path) -> None:
    """Memory against the number of steps, on logarithmic axes."""
    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), layout="constrained")
    names = list(dict.fromkeys(row["method"] for row in rows))
    labels: dict[tuple[int, int], str] = {}  # of those that end in one place, together
    for name in names:
        points = [(row["steps"], row["copies"]) for row in rows if row["method"] == name]
        axes.plot(*zip(*points, strict=True), "o--" if "FullBackprop" in name else "o-")
        end = points[-1][0], round(points[-1][1])
        labels[end] = f"{labels[end]}, {name}" if end in labels else name
    for end, label in labels.items():
        axes.annotate(label, end, xytext=(6, -3), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="inner steps T")
    axes.set_ylabel("memory, copies of the parameters")
    axes.set_xlim(right=axes.get_xlim()[1] * 4)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    tyro.cli(main)
