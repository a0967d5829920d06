"""The optimizer of the meta-parameters against its formula, and what it refuses."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaopt
from metaopt.learned_optimizers import LearnableMomentum
from metaopt.outer_optimizer import OuterOptimizer, optimizer_names
from taskset.errors import InputError

PARAMS = {"w": jnp.asarray([[1.0, -2.0, 3.0], [0.5, 0.25, -1.0]]), "b": jnp.asarray([0.0, 4.0])}
GRADIENTS = {"w": jnp.asarray([[3.0, -0.1, 0.0], [0.0, 0.0, 0.0]]), "b": jnp.asarray([0.2, -4.0])}


def updates_of(optimizer, gradients=(GRADIENTS,), num_steps=10):
    """The updates of consecutive steps at fixed parameters."""
    with jax.numpy_dtype_promotion("standard"):  # optax takes float ** int
        transformation = optimizer.build(num_steps)
        state, found = transformation.init(PARAMS), []
        for gradient in gradients:
            updates, state = transformation.update(gradient, state, PARAMS)
            found.append(updates)
    return found


def rates(optimizer, steps, num_steps=10):
    return [float(optimizer.rate(num_steps)(step)) for step in steps]


@pytest.mark.parametrize("name", optimizer_names())
def test_every_name_is_the_optimizer_of_optax(name):
    """At a constant rate, three updates are those of `optax.<name>(rate)`."""
    gradients = [jax.tree.map(lambda g: scale * g + 0.1, GRADIENTS) for scale in (1.0, -0.5, 2.0)]
    found = updates_of(OuterOptimizer(name, learning_rate=0.01), gradients)
    with jax.numpy_dtype_promotion("standard"):
        plain = getattr(optax, name)(learning_rate=0.01)
        state = plain.init(PARAMS)
        for gradient, mine in zip(gradients, found, strict=True):
            theirs, state = plain.update(gradient, state, PARAMS)
            for x, y in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-8)
    assert any(bool(jnp.any(x)) for x in jax.tree.leaves(found[-1]))


def test_the_usual_names_are_there_and_what_is_no_optimizer_is_not():
    names = optimizer_names()
    assert {"adam", "adamw", "sgd", "rmsprop", "lion", "lamb"} <= set(names)
    assert not {"scale_by_adam", "clip", "lbfgs", "fromage", "chain"} & set(names)
    assert len(names) == len(set(names))


def test_clipping_is_by_coordinate_then_by_global_norm():
    sgd = lambda **clips: updates_of(OuterOptimizer("sgd", learning_rate=1.0, **clips))[0]
    by_coordinate = sgd(clip=0.5)
    np.testing.assert_allclose(by_coordinate["w"][0], [-0.5, 0.1, 0.0])
    np.testing.assert_allclose(by_coordinate["b"], [-0.2, 0.5])

    by_norm = sgd(clip_norm=1.0)
    norm = np.sqrt(9 + 0.01 + 0.04 + 16)
    np.testing.assert_allclose(by_norm["w"][0], np.asarray([-3.0, 0.1, 0.0]) / norm, rtol=1e-6)
    np.testing.assert_allclose(optax.tree.norm(by_norm), 1.0, rtol=1e-6)

    both = sgd(clip=0.5, clip_norm=0.1)
    norm = np.sqrt(0.25 + 0.01 + 0.04 + 0.25)
    np.testing.assert_allclose(both["b"], np.asarray([-0.2, 0.5]) * 0.1 / norm, rtol=1e-6)
    assert jnp.array_equal(sgd(clip=5.0, clip_norm=100.0)["b"], sgd()["b"])


def test_warm_up_is_linear_from_zero():
    optimizer = OuterOptimizer(learning_rate=0.8, warmup_steps=4)
    assert rates(optimizer, (0, 1, 2, 4, 9)) == pytest.approx([0.0, 0.2, 0.4, 0.8, 0.8])


def test_cosine_goes_from_the_peak_to_the_final_fraction_at_the_last_step():
    optimizer = OuterOptimizer(learning_rate=0.8, schedule="cosine", final_fraction=0.25)
    # 0.2 + 0.6 * (1 + cos(pi * step / 10)) / 2
    assert rates(optimizer, (0, 5, 10, 20)) == pytest.approx([0.8, 0.5, 0.2, 0.2])


def test_linear_after_a_warm_up():
    optimizer = OuterOptimizer(
        learning_rate=0.8, schedule="linear", warmup_steps=2, final_fraction=0.5
    )
    assert rates(optimizer, (1, 2, 6, 10, 20)) == pytest.approx([0.4, 0.8, 0.6, 0.4, 0.4])


def test_the_rate_of_a_step_is_that_of_the_schedule():
    optimizer = OuterOptimizer("sgd", learning_rate=0.8, schedule="cosine", warmup_steps=2)
    updates = updates_of(optimizer, [GRADIENTS] * 6)
    found = [float(u["b"][1]) / 4.0 for u in updates]
    assert found == pytest.approx(rates(optimizer, range(6)))
    assert len(set(found)) == 6


def test_weight_decay_is_decoupled_and_follows_the_rate():
    optimizer = OuterOptimizer("sgd", learning_rate=0.5, weight_decay=0.1, clip=1.0, warmup_steps=1)
    still, moved = updates_of(optimizer, [GRADIENTS, GRADIENTS])
    assert not any(bool(jnp.any(x)) for x in jax.tree.leaves(still))
    # -0.5 * (clip(gradient) + 0.1 * parameter)
    np.testing.assert_allclose(moved["w"][0], [-0.55, 0.15, -0.15], rtol=1e-6)
    np.testing.assert_allclose(moved["b"], [-0.1, 0.3], rtol=1e-6)


def test_options_go_to_the_optimizer():
    with_momentum = OuterOptimizer("sgd", learning_rate=1.0, options=(("momentum", 0.5),))
    first, second = updates_of(with_momentum, [GRADIENTS, GRADIENTS])
    np.testing.assert_allclose(second["b"], 1.5 * first["b"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "addam"}, r"unknown optax optimizer 'addam'; did you mean 'adam'\?"),
        ({"name": "scale_by_adam"}, "unknown optax optimizer 'scale_by_adam'"),
        ({"schedule": "cosin"}, r"unknown schedule 'cosin'; did you mean 'cosine'\?"),
        ({"options": (("b3", 0.9),)}, r"unknown option of optax.adam 'b3'; did you mean 'b\d'\?"),
        ({"options": (("learning_rate", 0.9),)}, "unknown option of optax.adam 'learning_rate'"),
        ({"learning_rate": 0.0}, "outer learning_rate is 0.0; it must be positive"),
        ({"learning_rate": float("nan")}, "outer learning_rate is nan; it must be positive"),
        ({"clip": 0.0}, "outer clip is 0.0; it must be positive, or left out"),
        ({"clip_norm": -1.0}, "outer clip_norm is -1.0; it must be positive, or left out"),
    ],
)
def test_bad_input_is_refused_with_the_way_out(arguments, message):
    with pytest.raises(InputError, match=message):
        OuterOptimizer(**arguments)


def test_pickles_to_an_equal_value_of_equal_hash():
    optimizer = OuterOptimizer("sgd", clip=0.1, options=(("momentum", 0.5),))
    copy = pickle.loads(pickle.dumps(optimizer))
    assert copy == optimizer and hash(copy) == hash(optimizer)
    assert copy != OuterOptimizer("sgd", clip=0.2, options=(("momentum", 0.5),))


def test_an_exported_optimizer_takes_the_place_of_name_and_rate(tmp_path):
    learned = LearnableMomentum(learning_rate=0.5, momentum=0.8)
    weights = learned.init(jax.random.key(0))
    path = str(metaopt.export(tmp_path / "learned", learned, weights))
    found = updates_of(OuterOptimizer(path=path, clip=1.0, weight_decay=0.1), [GRADIENTS] * 2)
    clipped = jax.tree.map(lambda g: jnp.clip(g, -1.0, 1.0), GRADIENTS)
    for name, param in PARAMS.items():
        for momentum, update in zip((1.0, 1.8), found, strict=True):
            expected = -0.5 * momentum * clipped[name] - 0.1 * param
            np.testing.assert_allclose(update[name], expected, rtol=1e-5)


def test_what_is_no_export_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not an export"):
        OuterOptimizer(path=str(tmp_path)).build(10)
