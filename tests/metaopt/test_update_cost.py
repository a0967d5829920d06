"""The cost of an update: bytes exactly, time as something that passes."""

import jax.numpy as jnp
import optax
import pytest

from metaopt import update_cost

pytestmark = pytest.mark.usefixtures("standard_promotion")

PARAMS = {"weight": jnp.ones((4, 6)), "bias": jnp.ones(())}


@pytest.mark.parametrize(
    ("optimizer", "num_bytes"),
    [
        (optax.sgd(0.1), 0),
        (optax.sgd(0.1, momentum=0.9), 4 * 25),
        (optax.adam(0.1), 2 * 4 * 25 + 4),  # two moments, and the count
    ],
)
def test_state_bytes_are_counted_and_time_passes(optimizer, num_bytes: int):
    cost = update_cost.measure(optax.with_extra_args_support(optimizer), PARAMS)
    assert cost.state_bytes_per_parameter == pytest.approx(num_bytes / 25)
    assert 0 < cost.milliseconds < 100


def test_the_least_of_several_measurements_is_reported(monkeypatch):
    times = iter([0.0, 9.0, 10.0, 12.0, 20.0, 25.0, 30.0, 34.0, 40.0, 49.0])
    monkeypatch.setattr(update_cost.time, "perf_counter", lambda: next(times))
    cost = update_cost.measure(optax.with_extra_args_support(optax.sgd(0.1)), PARAMS)
    assert cost.milliseconds == pytest.approx(1e3 * 2.0 / update_cost.UPDATES)
