"""`metaopt tune`: from a file to hyper-parameters, with what `metaopt train` runs on."""

import dataclasses
import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from metaopt import checkpoint
from metaopt.estimators import GradientEstimator, Implicit, OnlineForwardMode
from metaopt.horizons import Horizon
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.linear_solvers import Solver
from metaopt.trainings import Schedules
from taskset.errors import InputError
from workers import cli
from workers.config import NO_FAMILY
from workers.tune_config import KINDS, OF_EACH_TASK, TuneConfig

pytestmark = pytest.mark.usefixtures("standard_promotion")

RECIPES = Path(__file__).parents[3] / "recipes"
SMALL = """
tasks = ["quadratic:dim=3"]
[problem.training]
num_steps = 4
num_tensors = 1
[estimator]
num_tasks = 2
horizon.steps = 4
[learner]
num_steps = 4
[workers]
number = 2
pool = "in-process"
[checkpoint]
every = 2
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def losses(run: str) -> list[float]:
    lines = (Path(run) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["meta_loss"] for line in lines]


def result(run: str) -> dict[str, np.ndarray]:
    found = json.loads((Path(run) / "hyperparameters.json").read_text())
    return {name: np.asarray(value) for name, value in found.items()}


def test_the_recipe_lowers_its_loss(tmp_path: Path, capsys):
    run = str(tmp_path / "run")
    flags = ["--learner.num-steps", "8", "--learner.optimizer.learning-rate", "0.2"]
    short = ["--problem.training.num-steps", "20", "--estimator.horizon.steps", "20"]
    recipe = str(RECIPES / "digits_schedules.toml")
    assert cli.main(["tune", recipe, "--out", run, *flags, *short]) == 0
    found = losses(run)
    assert np.mean(found[-2:]) < 0.9 * np.mean(found[:2])
    assert result(run)["learning_rate"].shape == (20, 4) and result(run)["penalty"].shape == (4,)
    assert "learning_rate: 0." in capsys.readouterr().out


def test_going_on_is_the_same_as_not_stopping(config: Path):
    assert cli.main(["tune", str(config), "--out", "whole"]) == 0
    assert cli.main(["tune", str(config), "--out", "half", "--learner.num-steps", "2"]) == 0
    assert cli.main(["tune", "--resume", "half", "--learner.num-steps", "4"]) == 0
    assert checkpoint.steps(Path("half/checkpoints"))[-1] == 4
    assert losses("half") == losses("whole")
    for name, value in result("whole").items():
        np.testing.assert_array_equal(result("half")[name], value)


@pytest.mark.parametrize("command", [["evaluate", "tuned"], ["export", "tuned", "--out", "export"]])
def test_what_was_tuned_is_no_optimizer(config: Path, capsys, command):
    assert cli.main(["tune", str(config), "--out", "tuned", "--learner.num-steps", "1"]) == 0
    assert cli.main(command) == 2
    assert "tuned is a run of `metaopt tune`" in capsys.readouterr().err
    assert not Path("export").exists()


IMPLICIT = ["Implicit", "--estimator.horizon.kind", "Endless"]
ESTIMATORS = {
    "reversible": ["ReversibleBackprop", "--estimator.precision", "int32"],
    "implicit": [*IMPLICIT, "--problem.training.tuned", "penalty"],
    "forward": ["ForwardMode", "--estimator.chunk", "2", "--estimator.workers", "2"],
    "es": ["FullES", "--estimator.objective", "final"],
    "online": ["OnlineForwardMode", "--estimator.horizon.kind", "Endless"],
    "self_tuning": [
        *["DirectGradient", "--problem.kind", "SelfTuning", "--estimator.horizon.kind", "Endless"],
        *["--problem.training.tuned", "penalty", "--problem.groups", "2"],
    ],
}


@pytest.mark.parametrize("flags", ESTIMATORS.values(), ids=ESTIMATORS)
def test_hyper_gradients_of_every_kind(config: Path, flags):
    if "Endless" in flags:
        config.write_text(SMALL.replace("horizon.steps = 4\n", ""))
    assert cli.main(["tune", str(config), "--out", "run", "--estimator.kind", *flags]) == 0
    assert all(np.all(np.isfinite(value)) for value in result("run").values())


def test_the_guard_stops_a_run_that_turns_chaotic(config: Path, caplog):
    """An outer step so long that the inner rates come to be beyond stability."""
    diverging = ["--learner.optimizer.name", "sgd", "--learner.optimizer.learning-rate", "5"]
    flags = ["tune", str(config), "--learner.num-steps", "30", *diverging]
    assert cli.main([*flags, "--out", "stopped", "--guard.action", "stop"]) == 0
    records = (Path("stopped") / "metrics.jsonl").read_text().splitlines()
    last = json.loads(records[-1])
    assert len(records) < 30 and last["guard"]["growth"] >= 10
    assert "the norm of the outer gradient grew" in caplog.text
    assert checkpoint.steps(Path("stopped/checkpoints"))[-1] == last["step"]


def test_runs_that_are_not_finite_are_explained(config: Path, caplog):
    """Rates so long that some of the tasks overflow."""
    flags = ["--problem.training.learning-rate", "2e5", "--estimator.num-tasks", "6"]
    assert cli.main(["tune", str(config), "--out", "run", *flags]) == 0
    first = json.loads((Path("run") / "metrics.jsonl").read_text().splitlines()[0])
    said = first["explanations"][0]["explanation"]
    assert "runs: the parameters are finite, and the outer loss of the end is not" in said
    assert "not finite: learning_rate, penalty" in said and said in caplog.text


def configurations() -> list[TuneConfig]:
    """One with each kind."""
    default = TuneConfig()
    replace = dataclasses.replace
    implicit = Implicit(OF_EACH_TASK)
    online = OnlineForwardMode(OF_EACH_TASK)
    return [
        *(
            replace(default, problem=k(NO_FAMILY, Schedules()))
            for k in KINDS[HyperparameterTraining].values()
        ),
        *(replace(default, estimator=k(OF_EACH_TASK)) for k in KINDS[GradientEstimator].values()),
        *(
            replace(default, estimator=replace(implicit, solver=k()))
            for k in KINDS[Solver].values()
        ),
        *(
            replace(default, estimator=replace(online, horizon=k()))
            for k in KINDS[Horizon].values()
        ),
    ]


def test_every_kind_can_be_written_and_read():
    for config in configurations():
        assert TuneConfig.from_table(tomllib.loads(config.to_toml())) == config


OWN = """
import dataclasses
from collections.abc import Mapping
import jax.numpy as jnp
from metaopt import dynamics
from metaopt.domains import Positive
from metaopt.hyperparameter_training import Training
from metaopt.hyperparameters import Hyperparameter


@dataclasses.dataclass(frozen=True)
class Mine(Training):
    start: float = 0.1

    def hyperparameters(self):
        return {"rate": Hyperparameter(self.start, Positive())}

    def dynamics(self, values):
        return dynamics.GradientDescent(values["rate"])


class Half(Training):
    def dynamics(self, values):
        return dynamics.GradientDescent(0.1)


Sub = type("Sub", (Mine,), {})
"""


@pytest.fixture
def own(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Path("own_training.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_training", raising=False)
    kind = 'kind = "own_training:Mine"\nstart = 0.05'
    config.write_text(SMALL.replace("num_steps = 4\nnum_tensors = 1", kind))
    return config


def test_a_training_of_the_users_own(own: Path):
    assert cli.main(["tune", str(own), "--out", "mine", "--learner.num-steps", "2"]) == 0
    assert cli.main(["tune", "--resume", "mine", "--learner.num-steps", "3"]) == 0
    written = tomllib.loads(Path("mine/config.toml").read_text())["problem"]["training"]
    assert written == {"kind": "own_training:Mine", "start": 0.05}
    assert 0 < result("mine")["rate"] != 0.05
    with pytest.raises(InputError, match=r"taken as problem\.training, by `metaopt tune`"):
        TuneConfig.load(own)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("own_training:Mind", "has no 'Mind'; did you mean 'Mine'?"),
        ("own_training:Half", "own_training:Half does not define hyperparameters"),
        ("own_training:Sub", "own_training:Sub is no dataclass of its own; put @dataclasses"),
        ("own_training:jnp", "own_training:jnp is no class of metaopt.hyperparameter_training.T"),
        ("nowhere:Mine", "module 'nowhere' is not found; run in the folder that it is in"),
        ("own_training:", "'own_training:' is not MODULE:CLASS"),
    ],
)
def test_what_is_no_training_is_refused(own: Path, refusal, kind, message):
    own.write_text(SMALL.replace("num_steps = 4\nnum_tensors = 1", f'kind = "{kind}"'))
    assert message in refusal("tune", str(own))


REFUSED = {
    "shares": (["--estimator.kind", "ForwardMode", "--estimator.workers", "3"], "use 3 workers"),
    "tensors": (["--problem.training.num-tensors", "3"], "num_tensors is 3, and the task has 1"),
    "names": (["--problem.training.tuned", "rate"], "tuned has 'rate'; names are learning_rate"),
    "tasks": (["--tasks", "quadratic", "nonsense"], "nonsense"),
    "rates": (["--estimator.kind", *IMPLICIT], "'learning_rate' has no part in where"),
    "optimizer": (["--optimizer.kind", "FactoredMLP"], "optimizer"),
}


@pytest.mark.parametrize(("flags", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_are_one_line(config: Path, refusal, flags, message):
    if "Endless" in flags:
        config.write_text(SMALL.replace("horizon.steps = 4\n", ""))
    assert message in refusal("tune", str(config), *flags)
    assert not Path("runs").exists()
