"""Forward mode against backpropagation, and online against what it says of earlier steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ridge import ridge
from toys import Line, starting_together

from metaopt.aggregate import WorkerResult, aggregate
from metaopt.estimators import Context, ForwardMode, FullBackprop, OnlineForwardMode
from metaopt.horizons import Fixed, LogUniform
from taskset.base import NoData
from taskset.errors import InputError

KEY = jax.random.key(0)
PROBLEM = ridge("adam")


def gradient_of(estimator, meta_params, data):
    estimate, _ = jax.jit(estimator.estimate)(meta_params, (), data, KEY)
    return estimate.gradient


@pytest.fixture(scope="module")
def start():
    data = PROBLEM.load_data()
    return PROBLEM.start(data, KEY), data


@pytest.mark.parametrize("chunk", [0, 4])
def test_equals_backpropagation(start, chunk):
    expected = gradient_of(FullBackprop(PROBLEM, 2, Fixed(9), objective="final"), *start)
    found = gradient_of(ForwardMode(PROBLEM, 2, Fixed(9), chunk=chunk), *start)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6)


def test_without_memory_of_earlier_steps_it_is_the_last_step(start):
    """But for the direct part, that of the start is forgotten, too."""
    expected = gradient_of(
        FullBackprop(PROBLEM, 2, Fixed(9), objective="final", last_steps=1), *start
    )
    found = gradient_of(ForwardMode(PROBLEM, 2, Fixed(9), decay=0.0), *start)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6)
    assert not np.any(found["weight"])


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_online_on_a_line_counts_the_steps_since_its_start(decay):
    """x_t = t theta: Z_t = 1 + decay Z_{t-1}, and runs of 8 steps begin anew after four calls."""
    estimator = OnlineForwardMode(Line(), 4, 2, Fixed(8), decay=decay)
    estimate = jax.jit(estimator.estimate)
    theta = jnp.float32(0.5)
    state = starting_together(estimator.init(theta, NoData(), KEY))
    for call in range(6):
        found, state = estimate(theta, state, NoData(), KEY)
        steps = 2 * (call % 4) + 2
        assert float(found.gradient) == pytest.approx(sum(decay**k for k in range(steps)))
        assert float(found.meta_loss) == pytest.approx(0.5 * steps)


def test_more_derivatives_than_memory_are_refused(start):
    estimator = ForwardMode(PROBLEM, 16, Fixed(9), memory_budget=1e-6)
    with pytest.raises(InputError, match=r"needs .* GB for the derivatives of 16 runs by 19 meta-"):
        estimator.estimate(start[0], (), start[1], KEY)
    online = OnlineForwardMode(PROBLEM, 16, memory_budget=1e-6)
    with pytest.raises(InputError, match="memory_budget is 1e-06 GB; lower num_tasks"):
        online.init(*start, KEY)


@pytest.mark.parametrize("kind", [ForwardMode, OnlineForwardMode])
def test_bad_settings_are_refused(kind):
    with pytest.raises(InputError, match="decay is 2; it must be from 0 to 1"):
        kind(Line(), decay=2)
    with pytest.raises(InputError, match="chunk is -1; it must be at least 1"):
        kind(Line(), chunk=-1)


def test_runs_have_one_length():
    with pytest.raises(InputError, match="ForwardMode takes runs of one length"):
        ForwardMode(Line(), horizon=LogUniform())


@pytest.mark.parametrize("last_steps", [-1, 10])
def test_last_steps_are_of_the_run(last_steps):
    with pytest.raises(InputError, match="it must be from 1 to the 9 of the horizon"):
        FullBackprop(Line(), 1, Fixed(9), objective="final", last_steps=last_steps)


def test_last_steps_are_for_the_final_loss():
    with pytest.raises(InputError, match="use the objective 'final', or TruncatedBackprop"):
        FullBackprop(Line(), 1, Fixed(9), last_steps=2)


def test_shares_of_the_columns_add_up(start):
    """19 meta-parameters in 3 shares, of which the last has one column to fill it up."""
    whole = jax.jit(ForwardMode(PROBLEM, 2, Fixed(9)).estimate)(start[0], (), start[1], KEY)[0]
    estimate = jax.jit(ForwardMode(PROBLEM, 2, Fixed(9), workers=3, chunk=4).estimate)
    shares = [
        estimate(start[0], (), start[1], KEY, Context(share=np.int32(share)))[0]
        for share in range(3)
    ]
    results = [
        WorkerResult(worker, "ridge", 0, share, 0.1, shares=3)
        for worker, share in enumerate(shares)
    ]
    added = aggregate(results, 0, 0).estimate
    assert added is not None
    for found, expected in zip(added, whole, strict=True):
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        jax.tree.map(close, found, expected)
    incomplete = aggregate(results[:2], 0, 0)
    assert incomplete.estimate is None and not incomplete.used
    assert [loss.cause for loss in incomplete.dropped] == ["lost", "lost"]
