"""Every kind of `losg_tasks_family`: builds, trains side by side, is exact in a bucket."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from padding import assert_padding_is_exact

from taskset import configs
from taskset.families import losg_tasks
from taskset.losg.log_objective import LogObjective
from taskset.losg.perturbed_gradient import PerturbedGradient
from taskset.losg.rescale import Rescale
from taskset.losg.starts import NormalStart
from taskset.losg.unseeded import Unseeded
from taskset.named import NamedFamily
from taskset.networks.dims import Dim
from taskset.options import Options

EXACT, PADDED, RELEASED = Options(), Options(buckets="padded"), Options(fidelity="released")


def name_of(seed):
    return f"losg_tasks_family_seed{seed}"


def first_seeds():
    """The first seed of each kind, and of each kind that is wrapped."""
    found = {}
    for seed in range(200):
        kind, settings, _ = configs.config(name_of(seed))
        found.setdefault(f"{kind} of {settings['base'][0]}" if "base" in settings else kind, seed)
    return found


SEEDS = first_seeds()
KINDS = {kind: seed for kind, seed in SEEDS.items() if " of " not in kind}
WRAPPED = ("sparse_problems", "rescale_problems", "log_objective")


def _one_task(program, data, key):
    task = program.sample(data, key)
    batch = data.sample("train", key, program.batch_size)
    return jax.value_and_grad(task.loss)(task.init(key), batch, key)


_run = jax.jit(
    lambda program, data, keys: jax.vmap(lambda key: _one_task(program, data, key))(keys),
    static_argnums=0,
)


def test_all_kinds_are_covered():
    assert set(KINDS) == set(losg_tasks.BASES)
    assert {kind.split(" of ")[0] for kind in SEEDS} - set(KINDS) == set(WRAPPED)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_exact(kind):
    assert_padding_is_exact(name_of(KINDS[kind]))


@pytest.mark.parametrize("kind", WRAPPED)
def test_padding_is_exact_of_a_wrapped_problem(kind):
    bases = ("projection_quadratic", "outward_snake")
    found = [seed for base in bases if (seed := SEEDS.get(f"{kind} of {base}")) is not None]
    assert_padding_is_exact(name_of(found[0]))


def assert_finite(seeds, fidelity):
    for seed in seeds:
        family = NamedFamily(name_of(seed), fidelity=fidelity, buckets="padded")
        keys = jax.random.split(jax.random.key(0), 2)
        values = _run(family.program(), family.load_data(), keys)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(values)), family


def test_losses_and_gradients_are_finite():
    assert_finite((1, 2, 4, 5, 8), "intended")


@pytest.mark.slow
@pytest.mark.parametrize("fidelity", ["intended", "released"])
def test_losses_and_gradients_of_many_are_finite(fidelity):
    assert_finite(range(200), fidelity)


def test_few_programs_serve_all_kinds():
    specs = [losg_tasks.build(configs.config(name_of(seed)), PADDED) for seed in range(200)]
    assert len({(jax.tree.structure(spec.template), spec.batch_size) for spec in specs}) <= 8


def test_every_seed_builds_in_both_fidelities():
    for seed in range(300):
        config = configs.config(name_of(seed))
        for options in (EXACT, RELEASED):
            spec = losg_tasks.build(config, options)
            dims = [
                x for x in jax.tree.leaves(spec.template.dims, is_leaf=lambda x: type(x) is Dim)
            ]
            assert all(dim.padded >= 1 for dim in dims)
            assert dims


def test_the_arrays_of_an_instance_are_those_of_its_seed_and_shared():
    kind, settings, _ = configs.config(name_of(KINDS["quadratic"]))
    loads = [
        losg_tasks.build([kind, settings | {"dim": 5}, seed], EXACT).data.load()
        for seed in (1, 1, 2)
    ]
    matrices = [data.sample("train", jax.random.key(0), 0)["matrix"] for data in loads]
    assert matrices[0] is matrices[1]
    assert np.any(matrices[0] != matrices[2])
    family = NamedFamily(name_of(KINDS["quadratic"]))
    task = family.sample(family.load_data(), jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(task)) < 10  # none of them is part of the task


WELL = ["min_max_well", {"dim": 10, "noise_stdev": 0.3}]


def problem_of(kind, options, **settings):
    return losg_tasks.build([kind, {"base": WELL, **settings}, 0], options).template


def test_noise_of_a_wrapped_problem_acts_as_intended_and_not_as_released():
    sparse = {"zero_probability": 0.9, "noise_stdev": 0.4}
    intended = problem_of("sparse_problems", EXACT, **sparse)
    released = problem_of("sparse_problems", RELEASED, **sparse)
    assert isinstance(intended, PerturbedGradient)
    assert isinstance(released, PerturbedGradient)
    np.testing.assert_allclose([intended.noise_stdev, released.noise_stdev], [0.5, 0.4])
    assert isinstance(intended.problem, NormalStart)
    intended, released = (problem_of("rescale_problems", o, scale=3.0) for o in (EXACT, RELEASED))
    assert isinstance(intended, Rescale)
    assert isinstance(intended.problem, PerturbedGradient)
    assert not isinstance(released.problem, PerturbedGradient)
    assert problem_of("log_objective", EXACT).floored
    assert not problem_of("log_objective", RELEASED).floored
    assert isinstance(problem_of("log_objective", EXACT), LogObjective)


@pytest.mark.parametrize("buckets", ["exact", "padded"])
def test_released_data_differ_from_task_to_task(buckets):
    options = Options(fidelity="released", buckets=buckets)
    settings = {"dim": 3, "bs": 4, "n_samples": 9}
    spec = losg_tasks.build(["sum_of_quadratics", settings, 0], options)
    assert isinstance(spec.template, Unseeded)
    assert spec.batch_size == 0
    draw = jax.jit(spec.template.draw)
    tasks = [draw(jax.random.key(seed)) for seed in range(2)]
    params = jnp.ones(spec.template.dims[0].padded)
    losses = [task.loss(params, None, jax.random.key(0)) for task in tasks]
    assert losses[0] != losses[1]
    assert tasks[0].arrays["rows"].shape[0] == (8 if buckets == "exact" else 20480)
    same = losg_tasks.build(["quadratic", {"dim": 4, "noise_stdev": 0.0}, 0], options)
    assert not isinstance(same.template, Unseeded)
