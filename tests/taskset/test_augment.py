"""Augmentations change what they say and nothing else."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import taskset
from taskset import augment
from taskset.errors import InputError

BASE = taskset.MLPFamily(hidden=(4,), batch_size=6)
KEY = jax.random.key(0)


def parts(family, key=KEY):
    data = family.load_data()
    task = family.sample(data, key)
    params = task.init(jax.random.key(1))
    return task, params, data.sample("train", jax.random.key(2), family.batch_size)


def losses_and_gradients(task, params, batch):
    return jax.value_and_grad(task.loss)(params, batch, jax.random.key(3))


def test_rescaled_losses_have_the_scale_of_the_task():
    task, params, batch = parts(augment.RescaleLoss(BASE, spread=100.0))
    loss, grads = losses_and_gradients(task, params, batch)
    plain, plain_grads = losses_and_gradients(task.task, params, batch)
    np.testing.assert_allclose(loss, plain * task.scale, rtol=1e-6)
    for x, y in zip(jax.tree.leaves(grads), jax.tree.leaves(plain_grads)):
        np.testing.assert_allclose(x, y * task.scale, rtol=1e-5, atol=1e-9)


def test_scales_are_log_uniform_in_their_range():
    family = augment.RescaleLoss(taskset.QuadraticFamily(dim=1), spread=10.0)
    keys = jax.random.split(KEY, 4000)
    scales = jax.vmap(family.sample, (None, 0))(family.load_data(), keys).scale
    exponents = np.log10(scales)
    assert np.all(np.abs(exponents) <= 1)
    # a uniform number in [-1, 1] has variance 1/3, its square variance 4/45
    assert abs(exponents.mean()) < 4 * np.sqrt(1 / 3 / 4000)
    assert abs((exponents**2).mean() - 1 / 3) < 4 * np.sqrt(4 / 45 / 4000)


@pytest.mark.parametrize(("per", "different"), [("task", 1), ("tensor", 4)])
def test_reparametrized_tasks_have_the_same_losses_in_other_units(per, different):
    task, params, batch = parts(augment.Reparametrize(BASE, spread=100.0, per=per))
    scales = jax.tree.leaves(task.scales)
    assert len({float(scale) for scale in scales}) == different
    start = task.task.init(jax.random.key(1))
    loss, grads = losses_and_gradients(task, params, batch)
    plain, plain_grads = losses_and_gradients(task.task, start, batch)
    np.testing.assert_allclose(loss, plain, rtol=1e-5)
    for x, y, scale in zip(*map(jax.tree.leaves, (grads, plain_grads)), scales):
        np.testing.assert_allclose(x, y * scale, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("precision", augment.PRECISIONS)
def test_reduced_precision_rounds_what_the_loss_sees(precision):
    task, params, batch = parts(augment.ReducePrecision(BASE, precision))
    rounded = jax.tree.map(lambda x: x.astype(precision).astype(jnp.float32), params)
    loss, grads = losses_and_gradients(task, params, batch)
    plain, plain_grads = losses_and_gradients(task.task, rounded, batch)
    assert loss == plain
    for x, y in zip(*map(jax.tree.leaves, (grads, plain_grads))):
        np.testing.assert_array_equal(x, y.astype(precision).astype(jnp.float32))
    assert loss != task.task.loss(params, batch, KEY)


def test_smaller_batches_are_the_first_examples_of_larger_ones():
    _, _, batch = parts(augment.SmallerBatch(BASE, 3))
    _, _, larger = parts(BASE)
    for x, y in zip(*map(jax.tree.leaves, (batch, larger))):
        np.testing.assert_array_equal(x, y[:3])
    assert augment.SmallerBatch(BASE, 100).batch_size == BASE.batch_size


@pytest.mark.parametrize("kind", augment.AUGMENTATIONS)
def test_every_augmentation_has_a_name_and_a_program_and_pickles(kind):
    family = taskset.build(f"mlp:hidden=4,batch_size=6+{kind}")
    assert isinstance(family, augment.AUGMENTATIONS[kind])
    assert family.family == BASE
    assert taskset.build(taskset.name_of(family)) == family
    assert pickle.loads(pickle.dumps(family)) == family
    program = family.program()
    assert hash(program) == hash(dataclasses.replace(family).program())
    start = lambda key: program.sample(family.load_data(), key).init(key)
    starts = jax.vmap(start)(jax.random.split(KEY, 2))
    assert all(leaf.shape[0] == 2 for leaf in jax.tree.leaves(starts))


def test_augmentations_nest_from_the_left():
    name = "mlp:hidden=4+rescale_loss:spread=1e+16+delay_gradient:steps=2+delay_gradient:steps=3"
    family = taskset.build(name)
    assert family.gradient_delay == 5
    assert family.family.family.spread == 1e16
    assert taskset.build(taskset.name_of(family)) == family


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mlp+rescale", "unknown augmentation 'rescale'; did you mean 'rescale_loss'?"),
        ("mlp+rescale_loss:spread=1", "rescale_loss: spread is 1.0; it must be above 1 and finite"),
        ("mlp+reparametrize:spread=inf", "reparametrize: spread is inf; it must be above 1"),
        ("mlp+reparametrize:per=layer", "unknown per of reparametrize 'layer'"),
        ("mlp+reduce_precision:precision=int8", "unknown precision 'int8'"),
        ("mlp+delay_gradient:steps=0", "delay_gradient: steps is 0; it must be from 1 to 100"),
        ("mlp+smaller_batch:examples=0", "smaller_batch: examples is 0; it must be at least 1"),
        ("mlp+smaller_batch:family=3", "unknown key of 'smaller_batch' 'family'"),
    ],
)
def test_bad_augmentations_are_refused_in_one_line(name, message):
    with pytest.raises(InputError) as caught:
        taskset.build(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
