import dataclasses
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest

from metaopt import exports
from metaopt.estimators import FullES, PersistentES, TruncatedBackprop
from metaopt.horizons import Fixed, LogUniform
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers import PerParameterMLP
from taskset.errors import InputError
from taskset.mixture import Mixture, split_of
from workers import config, strict_toml
from workers.config import OF_EACH_TASK, RunConfig

FULL = """
seed = 3
tasks = ["quadratic:dim=3", "quadratic:dim=4"]

[problem]
outer_split = "outer_valid"

[optimizer]
kind = "FactoredMLP"
hidden_size = 5

[estimator]
kind = "TruncatedBackprop"
num_tasks = 2
truncation = 5
remat = "sqrt"

[estimator.horizon]
kind = "LogUniform"
shortest = 10
longest = 20

[learner]
num_steps = 7

[learner.optimizer]
name = "adamw"
learning_rate = 1            # an integer where a float is meant
clip = 0.1
options = { b1 = 0.8, b2 = 0.99 }

[workers]
number = 3
pool = "process"
mode = "asynchronous"
max_staleness = 2

[checkpoint]
every = 2

[validation]
every = 4
"""


def _load(tmp_path: Path, text: str, overrides=None) -> RunConfig:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return RunConfig.load(path, overrides or {})


def test_every_key_reaches_its_field(tmp_path: Path):
    loaded = _load(tmp_path, FULL)
    assert loaded.estimator == TruncatedBackprop(
        OF_EACH_TASK, num_tasks=2, truncation=5, remat="sqrt", horizon=LogUniform(10, 20)
    )
    assert loaded.learner.optimizer.learning_rate == 1.0
    assert type(loaded.learner.optimizer.learning_rate) is float
    assert loaded.learner.optimizer.options == (("b1", 0.8), ("b2", 0.99))
    assert loaded.learner.optimizer.clip_norm is None
    assert (loaded.seed, loaded.workers.number, loaded.workers.mode) == (3, 3, "asynchronous")
    assert (loaded.checkpoint.every, loaded.checkpoint.keep) == (2, RunConfig().checkpoint.keep)
    assert loaded.assignment == ("quadratic:dim=3", "quadratic:dim=4", "quadratic:dim=3")


@pytest.mark.parametrize("text", ["", FULL], ids=["defaults", "full"])
def test_the_written_configuration_is_the_same_configuration(tmp_path: Path, text: str):
    loaded = _load(tmp_path, text)
    written = loaded.to_toml()
    again = _load(tmp_path, written)
    assert again == loaded
    assert again.to_toml() == written


def test_an_empty_file_is_the_default(tmp_path: Path):
    assert _load(tmp_path, "") == RunConfig()


def test_every_kind_can_be_written_and_read(tmp_path: Path):
    for base, kinds in config.KINDS.items():
        for kind in kinds.values():
            if issubclass(kind, config.GradientEstimator):
                run = RunConfig(estimator=kind(OF_EACH_TASK))
            elif issubclass(kind, config.LearnedOptimizer):
                run = RunConfig(optimizer=kind())
            else:
                run = RunConfig(estimator=PersistentES(OF_EACH_TASK, horizon=kind()))
            assert _load(tmp_path, run.to_toml()) == run, (base, kind)


def test_without_kind_the_default_is_refined(tmp_path: Path):
    loaded = _load(tmp_path, "[estimator]\nnum_tasks = 3\n[estimator.horizon]\nsteps = 40\n")
    assert loaded.estimator == PersistentES(OF_EACH_TASK, num_tasks=3, horizon=Fixed(40))


def test_overrides_win_over_the_file(tmp_path: Path):
    text = '[estimator]\nkind = "PersistentES"\nnum_tasks = 3\n'
    loaded = _load(tmp_path, text, {"estimator.kind": "FullES"})
    assert loaded.estimator == FullES(OF_EACH_TASK, num_tasks=3)
    loaded = _load(tmp_path, "", {"estimator.horizon.kind": "LogUniform"})
    assert loaded.horizon == LogUniform()


def test_estimators_are_bound_to_their_tasks(tmp_path: Path):
    loaded = _load(tmp_path, FULL)
    estimators = loaded.estimators()
    assert list(estimators) == ["quadratic:dim=3", "quadratic:dim=4"]
    problem = estimators["quadratic:dim=4"].problem
    assert isinstance(problem, OptimizerTraining)
    assert problem.family.dim == 4
    assert (problem.optimizer, problem.outer_split) == (loaded.optimizer, "outer_valid")
    unbound = dataclasses.replace(estimators["quadratic:dim=3"], problem=OF_EACH_TASK)
    assert unbound == loaded.estimator


BAD = [
    ("sede = 1", "unknown key 'sede'; did you mean 'seed'"),
    ("[estimator]\nstdev = 0.1", r"unknown key in \[estimator\] 'stdev'; did you mean 'stddev'"),
    ("[estimator]\nproblem = 1", r"unknown key in \[estimator\] 'problem'"),
    ("[learner.optimizer]\nlr = 1.0", r"unknown key in \[learner.optimizer\] 'lr'"),
    ('[estimator]\nkind = "PersistantES"', "'PersistantES'; did you mean 'PersistentES'"),
    ('[optimizer]\nkind = "FactorMLP"', "'FactorMLP'; did you mean 'FactoredMLP'"),
    ('[learner.optimizer]\nname = "adm"', "optax optimizer 'adm'; did you mean 'adam'"),
    ("[learner.optimizer.options]\nb3 = 1.0", "'b3'; did you mean 'b"),
    ('[workers]\npool = "rya"', "workers.pool 'rya'; did you mean 'ray'"),
    ('tasks = ["mpl"]', "unknown task 'mpl'; did you mean 'mlp'"),
    ('tasks = ["mlp:dataset=digts"]', "data set 'digts'; did you mean 'digits'"),
    ("tasks = []", "tasks is empty"),
    ('tasks = "mlp"', "tasks is 'mlp'; expected a list"),
    ("tasks = [1]", r"tasks\[0\] is 1; expected a string"),
    ("seed = -1", "seed is -1"),
    ('seed = "one"', "seed is 'one'; expected an integer"),
    ("seed = true", "seed is True; expected an integer"),
    ("[estimator]\nstddev = '1'", "estimator.stddev is '1'; expected a number"),
    ("[estimator]\nstddev = 0", "estimator.stddev is 0.0; it must be positive"),
    ("[estimator]\nnum_tasks = 1.5", "estimator.num_tasks is 1.5; expected an integer"),
    ("[estimator]\nnum_tasks = 0", "estimator.num_tasks is 0; it must be at least 1"),
    ("[estimator]\ntruncation = 30", "horizon 200 is not a multiple of the truncation 30; use 210"),
    ("estimator = 3", r"estimator is 3; expected a table, \[estimator\]"),
    ("[workers]\nnumber = 0", "workers.number is 0; it must be at least 1"),
    ("[workers]\nmin_results = 2", "workers.min_results is 2; it must be at least 0 and at most"),
    ("[workers]\nmin_number = -1", "workers.min_number is -1; it must be at least 0"),
    ("[workers]\nstaleness_decay = 0.0", "workers.staleness_decay is 0.0; it must be above 0"),
    ("[workers]\nmax_memory = -1.0", "workers.max_memory is -1.0"),
    ('[workers]\ngpu_workers = 1\npool = "process"', "only workers.pool 'ray' hands out GPUs"),
    ("[workers]\nwire = 'seeds'", "PersistentES keeps perturbations from estimate to estimate"),
    ("[learner]\naccumulate = 0", "learner.accumulate is 0; it must be at least 1"),
    (
        '[workers]\npool = "in-process"\nmode = "asynchronous"',
        "use workers.pool 'process' or 'ray'",
    ),
    ('tasks = ["quadratic", "quadratic:dim=3"]', "2 tasks for workers.number 1"),
    ('tasks = ["quadratic", "quadratic"]\n[workers]\nnumber = 2', "'quadratic' is named twice"),
    ("[learner]\nnum_steps = 0", "learner.num_steps is 0"),
    ("[problem]\nouter_batches = 0", "problem.outer_batches is 0"),
    ("[problem]\ninput_noise = -1.0", "problem.input_noise is -1.0"),
    ("[problem]\nlabel_noise = 2.0", "problem.label_noise is 2.0"),
    ("[estimator]\nkind = 'GPES'\nnoise_steps = 50", "noise_steps is 50, not a multiple"),
    ("[estimator]\nkind = 'InverseVariance'\nnum_tasks = 1", "num_tasks is 1"),
    (
        "[estimator]\nkind = 'FullBackprop'\n[estimator.horizon]\nkind = 'LogUniform'",
        "horizons are 100 to 2000; use a Fixed horizon",
    ),
    (
        "[estimator.horizon]\nkind = 'LinearCurriculum'\njitter = 1.0",
        "horizon: jitter is 1.0; it must be at least 0 and below 1",
    ),
    ("[checkpoint]\nkeep = 0", "checkpoint.keep is 0"),
    ("[validation]\nevery = -1", "validation.every is -1"),
    ("seed = ", "is not TOML"),
    ("[optimizer]\nkind = ['FactoredMLP']", "did you mean 'FactoredMLP'"),
    ("[optimizer]\nhidden_size = 0", "optimizer.hidden_size is 0"),
    ("[estimator]\nstddev = inf", "estimator.stddev is inf; it must be positive and finite"),
    ("[workers]\nnumber = 2\nmode = 'asynchronous'", "workers.max_staleness is 0"),
    (
        "[estimator.horizon]\nkind = 'LogUniform'\nshortest = 200\nlongest = 100",
        "shortest is 200, longest is 100",
    ),
    (
        "[estimator.horizon]\nkind = 'LinearCurriculum'\nouter_steps = 0",
        "horizon: outer_steps is 0",
    ),
    ("[learner.optimizer]\nlearning_rate = inf", "learning_rate is inf"),
    ("[learner.optimizer]\nwarmup_steps = -1", "warmup_steps is -1"),
    (
        "[learner.optimizer]\nname = 'adamw'\noptions.mask = 1",
        "unknown option of optax.adamw 'mask'",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text[:40] for text, _ in BAD])
def test_bad_input_is_one_line_that_names_the_file_and_the_value(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        _load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "run.toml"))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(InputError, match=r"cannot read configuration .*No such file"):
        RunConfig.load(tmp_path / "none.toml")


def test_toml_text_of_awkward_values():
    import tomllib

    table = {"a b": 'quote " and \\', "f": [1e-5, float("inf"), 3.0], "t": {"x.y": {"é": True}}}
    assert tomllib.loads(strict_toml.to_toml(table)) == table


def test_a_configuration_touches_no_device():
    # Ray warns of deadlocks when it is started after JAX has been.
    code = (
        "from workers import config, plan\n"
        "from jax._src import xla_bridge\n"
        "plan.check_tasks(config.RunConfig(tasks=('quadratic',)))\n"
        "print(len(xla_bridge._backends))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.strip() == "0"


def test_a_mixture_is_in_place_of_tasks_and_held_out_tasks_are_of_other_seeds(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[mixture]\ncomponents = ["quadratic_family"]\nmax_parameters = 30\n')
    loaded = RunConfig.load(path)
    assert loaded.tasks == ()
    assert loaded.mixture == Mixture(("quadratic_family",), max_parameters=30)
    assert RunConfig.from_table(tomllib.loads(loaded.to_toml())) == loaded
    held_out = {split: loaded.held_out_tasks(split) for split in ("validation", "test")}
    for split, tasks in held_out.items():
        assert {split_of(int(re.search(r"seed(\d+)", task)[1])) for task in tasks} == {split}
        assert all("buckets" not in task for task in tasks)
    assert set(loaded.validation_families()) == set(held_out["validation"])
    assert loaded.assignment == (loaded.stream().at(0, 0).task,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('tasks = ["mlp"]\n[mixture]\n', "a mixture and tasks are given, 'mlp'; leave one out"),
        ("estimates_per_task = 0\n[mixture]\n", "estimates_per_task is 0; it must be at least 1"),
        ('[mixture]\nsplit = "tests"\n', "mixture.split 'tests'; did you mean 'test'"),
        ("[mixture]\nmax_params = 3\n", "did you mean 'max_parameters'"),
        ("[validation]\nnum_tasks = 0\n", "validation.num_tasks is 0; it must be at least 1"),
    ],
)
def test_bad_mixtures_are_one_line(tmp_path, text, message):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        RunConfig.load(path)


def test_a_run_begins_at_an_export_of_an_optimizer_with_the_same_meta_parameters(tmp_path):
    """As the second phase of Celo does at the end of the first."""
    first = PerParameterMLP(hidden_size=2)
    meta_params = first.init(jax.random.key(1))
    exports.export(tmp_path / "first", first, meta_params)
    begin = lambda **changes: RunConfig(
        optimizer=dataclasses.replace(first, **changes), start_from=str(tmp_path / "first")
    ).first_meta_params(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, begin(step_multiplier=0.01), meta_params)
    with pytest.raises(InputError, match=r"first: 'layer0.bias' is \[2\]"):
        begin(hidden_size=3)
