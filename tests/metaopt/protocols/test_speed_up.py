"""The envelope of Adam: by a plain loop, at its edges, and Adam against its own."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from metaopt import held_out
from metaopt.baselines.one_rate import Adam, Rule
from metaopt.inner_problem import OptimizerTraining
from metaopt.protocols import speed_up
from metaopt.protocols.speed_up import Envelope
from taskset.errors import InputError
from taskset.families.mlp import MLPFamily

STEPS = np.asarray([0.0, 10.0, 20.0, 30.0, 40.0])
ENVELOPE = Envelope(STEPS, np.asarray([4.0, 2.0, 2.0, 1.0, 1.0]))


def plain_envelope(curves: np.ndarray) -> list[float]:
    """The least of seed means over rates so far, from averages of raw losses."""
    num_rates, num_seeds, num_steps = curves.shape
    means = []
    for rate in range(num_rates):
        by_seed = []
        for seed in range(num_seeds):
            average = [float(curves[rate, seed, 0])]
            for step in range(1, num_steps):
                average.append(0.95 * average[-1] + 0.05 * float(curves[rate, seed, step]))
            by_seed.append([x if math.isfinite(x) else math.inf for x in average])
        means.append([sum(x) / num_seeds for x in zip(*by_seed)])
    lowest = [min(x) for x in zip(*means)]
    return [min(lowest[: step + 1]) for step in range(num_steps)]


def plain_inverse(loss: float, envelope: Envelope) -> float:
    steps, losses = envelope.steps.tolist(), envelope.losses.tolist()
    if not math.isfinite(loss) or loss > losses[0]:
        return 0.0
    for i, reached in enumerate(losses):
        if reached == loss:
            return steps[i]
        if reached < loss:
            share = (losses[i - 1] - loss) / (losses[i - 1] - reached)
            return steps[i - 1] + share * (steps[i] - steps[i - 1])
    return steps[-1]


@pytest.fixture(scope="module")
def curves():
    random = np.random.RandomState(0)
    rates = np.asarray([0.01, 0.05, 0.2])[:, None, None]
    found = np.exp(-rates * np.arange(80)) + 0.05 * random.normal(size=(3, 2, 80))
    found[2, 1, 40:] = np.nan
    return found


def test_envelope_and_inverse_are_those_of_a_plain_loop(curves):
    found = speed_up.envelope(speed_up.smoothed(curves), np.arange(80))
    np.testing.assert_allclose(found.losses, plain_envelope(curves), rtol=1e-9)
    losses = np.linspace(found.losses[-1] - 0.1, found.losses[0] + 0.1, 301)
    expected = [plain_inverse(loss, found) for loss in losses]
    np.testing.assert_allclose(speed_up.steps_of_adam(losses, found), expected, rtol=1e-9)
    assert np.ptp(expected) == 79


def test_a_rate_is_out_once_one_of_its_seeds_has_diverged(curves):
    found = speed_up.envelope(speed_up.smoothed(curves), np.arange(80))
    without = speed_up.envelope(speed_up.smoothed(curves[:2]), np.arange(80))
    assert found.losses[39] < without.losses[39]  # until then, it was the best
    assert np.all(found.losses[40:] <= found.losses[39])


@pytest.mark.parametrize(
    "loss, value, at_least",
    [
        (3.0, 5.0, False),  # halfway down to the second point
        (2.0, 10.0, False),  # where it is first reached, of a plateau
        (1.5, 25.0, False),  # from the end of the plateau on
        (1.0, 30.0, False),
        (0.9, 40.0, True),  # never reached
        (4.0, 0.0, False),
        (5.0, 0.0, False),
        (np.nan, 0.0, False),
        (np.inf, 0.0, False),
        (-np.inf, 0.0, False),  # not finite, however low
    ],
)
def test_edges(loss, value, at_least):
    found = speed_up.speed_ups(np.asarray([loss]), 20.0, ENVELOPE)
    assert found.values.tolist() == [value / 20.0]
    assert found.at_least.tolist() == [at_least]
    assert found.num_censored == at_least


@pytest.mark.parametrize(
    "curve, value",
    [
        ([4.0, 3.0, 2.0, 1.5, 1.5], 25.0 / 40.0),  # as `speed_ups` of the last loss
        ([4.0, 1.0, 0.9, 0.9, 0.9], 30.0 / 10.0),  # beyond the envelope: where both first are at 1
        ([4.0, 3.0, 3.0, 3.0, 0.5], 30.0 / 40.0),
        ([0.5, 0.5, 0.5, 0.5, 0.5], 30.0 / 10.0),  # no loss is had before a step
        ([4.0, 1.0, 0.5, 0.5, np.nan], 0.0),
    ],
)
def test_beyond_the_envelope_the_common_loss_is_its_last(curve, value):
    found = speed_up.at_common_loss(np.asarray([curve]), STEPS, ENVELOPE)
    assert found.values == pytest.approx([value], rel=1e-9)
    assert found.at_least.tolist() == [curve[-1] < 1.0]


def test_refuses_no_steps_and_no_finite_start():
    with pytest.raises(InputError, match="after 0 steps"):
        speed_up.speed_ups(np.ones(1), 0, ENVELOPE)
    with pytest.raises(InputError, match="no envelope"):
        speed_up.envelope(np.full((2, 3, 4), np.nan), np.arange(4))


@pytest.mark.usefixtures("standard_promotion")
def test_adam_is_about_as_fast_as_its_own_envelope_and_sgd_is_slower():
    """2,000 steps on digits, 11 rates half a decade apart from 1e-5 to 1, and 3 seeds."""
    family, num_steps = MLPFamily(dataset="digits", hidden=(32,)), 2000
    rates = jnp.asarray(10.0 ** np.arange(-5, 0.5, 0.5), jnp.float32)
    data, keys = family.load_data(), held_out.evaluation_keys("report", range(3))
    train = lambda optimizer, rates: speed_up.smoothed(
        np.asarray(
            held_out.train(
                OptimizerTraining(family, optimizer),
                {"learning_rate": rates},
                data,
                keys,
                num_steps,
            ).curves
        )
    )
    adam, sgd = train(Adam(), rates), train(Rule(), jnp.asarray([0.03, 0.3], jnp.float32))
    envelope = speed_up.envelope(adam, np.arange(num_steps))

    of = lambda curves: speed_up.speed_ups(
        np.mean(curves[..., -1], axis=-1), num_steps - 1, envelope
    )
    assert 0.8 < np.max(of(adam).values) < 1.05
    assert np.all(of(sgd).values < 1) and np.all(of(sgd).values > 0)
    diverged = np.where(np.arange(num_steps) > 5, np.nan, sgd)
    assert not np.any(of(speed_up.smoothed(diverged)).values)
    # Whatever the loss, no more than the length of the envelope is claimed.
    early = speed_up.speed_ups(np.asarray([-1.0, 0.0]), 500, envelope)
    assert early.values.tolist() == [(num_steps - 1) / 500] * 2
    assert early.num_censored == 2


@pytest.mark.parametrize("spacing", [1, 7, 30])
def test_recent_is_the_average_of_the_losses_since_an_earlier_point(spacing):
    losses = np.random.RandomState(1).normal(2.0, 1.0, size=(2, 121))
    losses[:, :5] = 1e5  # which smoothed curves show for 200 steps
    steps = np.arange(0, 121, spacing)
    found = speed_up.recent(speed_up.smoothed(losses)[:, steps], steps.astype(float))
    for point, step in enumerate(steps[1:], 1):
        earlier = [at for at in steps if at <= step - speed_up.SPAN] or [0]
        weights = 0.95 ** np.arange(step - earlier[-1])[::-1]
        since = losses[:, earlier[-1] + 1 : step + 1]
        expected = np.sum(weights * since, axis=1) / np.sum(weights)
        np.testing.assert_allclose(found[:, point], expected, rtol=1e-6)
    assert np.array_equal(found[:, 0], losses[:, 0])


def test_recent_of_a_diverged_run_is_infinite_and_rounding_is_not_shown():
    losses = np.full((2, 60), 2.0)
    losses[0, 30:] = np.nan
    losses[1, 0] = 1e12
    smoothed = speed_up.smoothed(losses).astype(np.float32)
    found = speed_up.recent(smoothed, np.arange(60.0))
    assert np.array_equal(np.isinf(found[0]), np.arange(60) >= 30)
    assert found[0, :30] == pytest.approx(2.0)
    # In float32 the 2 are lost beside 1e12: what is shown falls, and is never negative.
    assert np.all(found[1] > 0)
