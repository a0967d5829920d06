"""What every task of TaskSet promises: the 12 sampled families, and the 109 fixed tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import taskset
from taskset import check
from taskset.augment import SmallerBatch
from taskset.check import CHECKS
from taskset.fixed import MODULES
from taskset.named import NamedFamily


def small(name, **options):
    return SmallerBatch(NamedFamily(name, **options), 2)


@pytest.mark.parametrize("family_name", taskset.names())
@pytest.mark.parametrize("buckets", ["exact", "padded"])
def test_a_family_pickles_and_has_a_name_and_a_program(family_name, buckets):
    seed = next(seed for seed in range(100) if taskset.feasible(f"{family_name}_seed{seed}"))
    family = NamedFamily(f"{family_name}_seed{seed}", buckets=buckets)
    check.pickles(family)
    assert taskset.build(taskset.name_of(family)) == family
    assert "source=embedded" in taskset.name_of(family)
    assert hash(family.program()) == hash(NamedFamily(family.name, buckets=buckets).program())


# Of every kind of data; what every family does is checked for all of them below.
@pytest.mark.slow
@pytest.mark.parametrize(
    "family_name", ["losg_tasks_family", "mlp_family", "char_rnn_language_model_family"]
)
def test_a_family_keeps_all_promises(family_name):
    family = small(f"{family_name}_seed1")
    for name in CHECKS:
        finding = check.finding(name, family)
        assert finding.ok, (name, finding.message)


@pytest.mark.slow
@pytest.mark.parametrize("family_name", taskset.names())
def test_configurations_of_a_bucket_share_a_program_and_differ(family_name):
    families = bucket_mates(family_name)
    traces = 0

    @jax.jit
    def losses(data, keys):
        nonlocal traces
        traces += 1

        def loss_of(key):
            task = families[0].program().sample(data, key)
            batch = data.sample("train", key, families[0].batch_size)
            return jax.value_and_grad(task.loss)(task.init(key), batch, key)

        return jax.vmap(loss_of)(keys)

    keys = jax.random.split(jax.random.key(0), 2)
    found = [losses(family.load_data(), keys) for family in families]
    assert traces == 1
    assert len({*np.concatenate([np.asarray(loss) for loss, _ in found])}) == 4
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(found))


def bucket_mates(family_name):
    """Two configurations of equal programs and shapes of data, of the first few."""
    seen = {}
    for seed in range(100):
        name = f"{family_name}_seed{seed}"
        if taskset.feasible(name):
            family = NamedFamily(name, buckets="padded")
            shapes = jax.tree.map(lambda x: (x.shape, str(x.dtype)), family.load_data())
            key = (family.program(), str(shapes))
            if key in seen:
                return small(seen[key], buckets="padded"), small(name, buckets="padded")
            seen[key] = name
    raise AssertionError(f"no two of 100 configurations of {family_name} share a program")


def test_there_are_109_fixed_tasks():
    assert len(set(taskset.fixed_names())) == 109


@pytest.mark.parametrize("name", taskset.fixed_names())
def test_a_fixed_task_has_a_scalar_loss_of_its_parameters(name):
    family = NamedFamily(name)

    def gradient_of(data, key):
        task = family.sample(data, key)
        batch = data.sample("train", key, max(1, family.batch_size))
        return jax.value_and_grad(task.loss)(task.init(key), batch, key)

    loss, grads = jax.eval_shape(gradient_of, family.load_data(), jax.random.key(0))
    assert (loss.shape, loss.dtype) == ((), jnp.float32)
    assert sum(leaf.size for leaf in jax.tree.leaves(grads)) >= 2
    assert taskset.build(taskset.name_of(family)) == family


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_a_fixed_task_of_each_module_has_finite_gradients(module):
    tasks = __import__(module, fromlist=["TASKS"]).TASKS
    check.has_finite_loss_and_gradients(small(next(iter(tasks))))


@pytest.mark.slow
@pytest.mark.parametrize("buckets", ["exact", "padded"])
@pytest.mark.parametrize("family_name", taskset.names())
def test_every_released_configuration_can_be_built_or_says_why_not(family_name, buckets):
    infeasible = 0
    for seed in range(1000):
        name = f"{family_name}_seed{seed}"
        if not taskset.feasible(name):
            infeasible += 1
            with pytest.raises(taskset.InfeasibleTask, match=name):
                NamedFamily(name, buckets=buckets)
            continue
        spec = NamedFamily(name, buckets=buckets).spec
        assert spec.batch_size >= 0
        hash(jax.tree.structure(spec.template))
    assert infeasible == {"conv_fc_family": 57, "conv_pooling_family": 51}.get(family_name, 0)
