"""What every gradient estimator promises."""

import dataclasses
import functools
import importlib.util
import pickle
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Poisoned, Spike, ToyRegression, poisoned_training

from metaopt.estimators import (
    GPES,
    Context,
    DirectGradient,
    ForwardMode,
    FullBackprop,
    FullES,
    Implicit,
    InverseVariance,
    LearnedStddevES,
    NoiseReuseES,
    OnlineForwardMode,
    PersistentES,
    PersistentESWithBackprop,
    Reparameterised,
    ResumedPersistentES,
    ReversibleBackprop,
    TapedBackprop,
    TruncatedBackprop,
    TruncatedES,
    at_once,
)
from metaopt.horizons import Fixed, LogUniform
from metaopt.normalize import LossScale
from taskset.errors import InputError


@dataclasses.dataclass(frozen=True)
class ImplicitOfOneNumber(Implicit):
    """Hyper-parameters have names, and the number of these tests has none."""

    def _check_attached(self, meta_params, condition):
        pass


ESTIMATORS = {
    "full_es": FullES(Poisoned(), 16, Fixed(6)),
    "truncated_es": TruncatedES(Poisoned(), 16, 3, Fixed(6)),
    "persistent_es": PersistentES(Poisoned(), 16, 3, Fixed(6)),
    "persistent_es_log_uniform": PersistentES(Poisoned(), 16, 3, LogUniform(3, 12)),
    "noise_reuse_es": NoiseReuseES(Poisoned(), 16, 3, Fixed(6)),
    "gpes": GPES(Poisoned(), 16, 3, Fixed(12), noise_steps=6),
    "persistent_es_of_final_loss": PersistentES(Poisoned(), 16, 3, Fixed(6), objective="final"),
    "persistent_es_with_backprop": PersistentESWithBackprop(Poisoned(), 16, 3, Fixed(6)),
    "resumed_persistent_es": ResumedPersistentES(Poisoned(), 16, 3, Fixed(6)),
    "reparameterised": Reparameterised(Poisoned(), 16, 3, Fixed(6)),
    "learned_stddev_es": LearnedStddevES(Poisoned(), 16, 3, Fixed(6)),
    "inverse_variance": InverseVariance(Poisoned(), 16, 3, Fixed(6)),
    "full_backprop": FullBackprop(Poisoned(), 16, Fixed(6)),
    "forward_mode": ForwardMode(Poisoned(), 16, Fixed(6)),
    "online_forward_mode": OnlineForwardMode(Poisoned(), 16, 3, Fixed(6)),
    "direct_gradient": DirectGradient(Poisoned(), 16, 3, Fixed(6)),
    "implicit": ImplicitOfOneNumber(poisoned_training(), 16, 3, Fixed(6)),
    "reversible_backprop": ReversibleBackprop(poisoned_training(), 16, Fixed(6)),
    "truncated_backprop": TruncatedBackprop(Poisoned(), 16, 3, Fixed(6)),
    "truncated_backprop_sqrt": TruncatedBackprop(Poisoned(), 16, 3, Fixed(6), remat="sqrt"),
}
if importlib.util.find_spec("constriction"):  # which there is not for Linux on ARM
    ESTIMATORS["taped_backprop"] = TapedBackprop(poisoned_training(), 16, Fixed(6))
WHOLE_RUNS = (FullES, FullBackprop, ForwardMode, ReversibleBackprop, TapedBackprop)
ONE_SIGN = (
    TruncatedBackprop,
    FullBackprop,
    ForwardMode,
    OnlineForwardMode,
    DirectGradient,
    Implicit,
    ReversibleBackprop,
    TapedBackprop,
)
DIFFERENTIATED = (*ONE_SIGN, PersistentESWithBackprop, Reparameterised, InverseVariance)
THETA = jnp.float32(-1.0)
KEYS = jax.random.split(jax.random.key(0), 4)


@pytest.fixture(params=ESTIMATORS.values(), ids=ESTIMATORS)
def estimator(request):
    return request.param


class Compiled(NamedTuple):
    init: Callable
    estimate: Callable
    traces: list  # one entry for each time that `estimate` was traced


@functools.cache
def compiled(estimator):
    traces = []

    def estimate(*arguments):
        traces.append(1)
        return estimator.estimate(*arguments)

    return Compiled(jax.jit(estimator.init), jax.jit(estimate), traces)


def run(estimator, num_calls=3, theta=THETA, context=Context(), spike=1.0):
    programs, data = compiled(estimator), Spike(jnp.float32(spike))
    state, estimate = programs.init(theta, data, KEYS[0], context), None
    for key in KEYS[1 : num_calls + 1]:
        estimate, state = programs.estimate(theta, state, data, key, context)
    return estimate, state


def types(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def test_pickles_to_an_equal_value_of_equal_hash(estimator):
    copy = pickle.loads(pickle.dumps(estimator))
    assert copy == estimator and hash(copy) == hash(estimator)
    assert dataclasses.replace(estimator, num_tasks=17) != estimator


def test_traces_once(estimator):
    for step in range(3):
        context = Context(np.int32(step), LossScale(np.float32(2.0 + step), np.float32(0.1)))
        run(estimator, theta=THETA + step, context=context)
    assert len(compiled(estimator).traces) == 1


def test_tasks_that_do_not_fit_together_give_the_same_numbers(estimator, monkeypatch):
    monkeypatch.setattr(at_once, "num_at_once", lambda num_tasks, num_bytes: 4)
    anew = functools.partial(estimator.estimate)  # for `jax.jit` knows the method already
    in_groups = jax.jit(anew)
    data = Spike(jnp.float32(1.0))
    state = compiled(estimator).init(THETA, data, KEYS[0], Context())
    expected = compiled(estimator).estimate(THETA, state, data, KEYS[1], Context())
    found = in_groups(THETA, state, data, KEYS[1], Context())
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_state_and_gradient_keep_their_structure(estimator):
    first = compiled(estimator).init(THETA, Spike(jnp.float32(1.0)), KEYS[0], Context())
    estimate, state = run(estimator)
    assert types(first) == types(state)
    assert types(estimate.gradient) == types(THETA)
    assert estimate.meta_loss.shape == estimate.weight.shape == ()
    assert all(x.shape == () and x.dtype == jnp.float32 for x in estimate.metrics.values())


def test_the_key_decides_everything(estimator):
    first, _ = run(estimator)
    again, _ = run(estimator)
    for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(x, y)


def test_inner_steps_are_the_steps_of_the_unroll(estimator):
    signs = 1 if isinstance(estimator, ONE_SIGN) else 2
    steps = 6 if isinstance(estimator, WHOLE_RUNS) else 3
    assert estimator.inner_steps == 16 * signs * steps


def test_a_run_that_is_not_finite_costs_only_itself(estimator):
    """A quarter of the tasks return NaN, infinity or nothing: the others give the same bits."""
    poisoned, _ = run(estimator, 1, spike=float("nan"))
    infinite, _ = run(estimator, 1, spike=float("inf"))
    num_bad = float(poisoned.metrics["nonfinite_runs"])
    assert 1 <= num_bad < 16 and float(poisoned.weight) == 16 - num_bad
    assert np.isfinite(poisoned.gradient) and np.isfinite(poisoned.meta_loss)
    np.testing.assert_array_equal(poisoned.gradient, infinite.gradient)
    np.testing.assert_array_equal(poisoned.meta_loss, infinite.meta_loss)
    if isinstance(estimator, InverseVariance):
        return  # zeros are samples too, and change its weights
    # The same tasks with losses of zero contribute nothing to the sum either.
    silent, _ = run(estimator, 1, spike=0.0)
    np.testing.assert_allclose(poisoned.gradient * poisoned.weight, silent.gradient * 16, rtol=1e-6)


def test_a_run_that_is_not_finite_starts_anew(estimator):
    if isinstance(estimator, WHOLE_RUNS):
        pytest.skip("has no runs between calls")
    _, state = run(estimator, 1, spike=float("nan"))
    inner = state.state
    for name in ("states", "state", "task"):  # of both signs; of a run with more; where it is
        inner = getattr(inner, name, inner)
    bad = jnp.isnan(inner.factor.reshape(16, -1)[:, 0])
    assert bool(jnp.any(bad))
    np.testing.assert_array_equal(jnp.where(bad, state.age, 0), jnp.where(bad, state.length, 0))


def test_all_runs_lost_gives_weight_zero(estimator):
    theta = jnp.float32(jnp.nan)
    estimate, _ = run(estimator, 2, theta)
    assert float(estimate.weight) == 0 and float(estimate.metrics["nonfinite_runs"]) == 16
    assert float(estimate.gradient) == 0


def test_baseline_normalization_divides_the_gradient(estimator):
    context = Context(np.int32(0), LossScale(np.float32(40.0), np.float32(0.0)))
    plain, _ = run(estimator, 1, context=context)
    scaled = dataclasses.replace(estimator, normalization="baseline")
    normalized, _ = run(scaled, 1, context=context)
    np.testing.assert_allclose(normalized.gradient * 40, plain.gradient, rtol=1e-3)
    np.testing.assert_allclose(normalized.meta_loss, plain.meta_loss, rtol=1e-6)


@pytest.mark.parametrize("kind", ["sign", "rank"])
def test_what_has_no_gradient_is_not_backpropagated(estimator, kind):
    if isinstance(estimator, DIFFERENTIATED):
        with pytest.raises(InputError, match=f"normalization '{kind}' has no gradient"):
            dataclasses.replace(estimator, normalization=kind)
    else:
        dataclasses.replace(estimator, normalization=kind)


def test_sign_normalization(estimator):
    if isinstance(estimator, DIFFERENTIATED):
        pytest.skip("has no signs")
    signed, _ = run(dataclasses.replace(estimator, normalization="sign", num_tasks=1), 1)
    plain, _ = run(dataclasses.replace(estimator, num_tasks=1), 1)
    assert np.sign(signed.gradient) == np.sign(plain.gradient)
    assert abs(float(signed.gradient)) > abs(float(plain.gradient))


@pytest.mark.parametrize("remat", ["step", "sqrt", "treeverse"])
def test_rematerialisation_changes_nothing_but_memory(remat):
    """7 steps: segments of 3 and a rest, for sqrt."""
    theta = jnp.asarray([-2.0, -3.0])
    gradient = lambda remat: (
        run(TruncatedBackprop(ToyRegression(), 2, 7, Fixed(14), remat=remat), 2, theta)[0].gradient
    )
    np.testing.assert_allclose(gradient(remat), gradient("none"), rtol=1e-5)


def test_runs_are_staggered_over_the_horizon():
    state = PersistentES(Poisoned(), 8, 5, Fixed(20)).init(THETA, Spike(jnp.float32(1.0)), KEYS[0])
    assert sorted(state.age.tolist()) == [0, 0, 5, 5, 10, 10, 15, 15]
