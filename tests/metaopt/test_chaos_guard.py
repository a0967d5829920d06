import math

import numpy as np
import pytest

from metaopt.chaos_guard import ChaosGuard, Watched
from taskset.errors import InputError


def readings(guard, gradients):
    watched, found = Watched(), []
    for gradient in gradients:
        watched, reading = guard.watch(watched, gradient)
        found.append(reading)
    return found


def of_norms(*norms):
    return [{"a": np.float32(0.6 * n), "b": np.full(1, 0.8 * n, np.float32)} for n in norms]


def test_cosines_and_growth():
    found = readings(ChaosGuard(), [np.array([3.0, 4.0]), np.array([8.0, 6.0]), np.zeros(2)])
    assert math.isnan(found[0].cosine) and found[0].growth == 1
    assert found[1].cosine == pytest.approx(0.96) and found[1].growth == 2
    assert found[2].cosine == 0 and found[2].growth == 0
    assert not any(reading.alarm for reading in found)


def test_the_norm_has_to_grow_within_the_window():
    slow = of_norms(1, 2, 4, 8, 16, 32, 64)
    assert not any(reading.alarm for reading in readings(ChaosGuard(), slow))
    fast = readings(ChaosGuard(), of_norms(1, 2, 5, 11, 11))
    assert [bool(reading.alarm) for reading in fast] == [False, False, False, True, False]
    assert "grew 11 times within 3 steps, to 11" in fast[3].alarm
    wider = readings(ChaosGuard(window=4), of_norms(1, 2, 5, 9, 11))
    assert [bool(reading.alarm) for reading in wider] == [False, False, False, False, True]
    assert not readings(ChaosGuard(), of_norms(0, 1, 0, 2))[-1].alarm  # nothing is no norm


def test_reversals_have_to_be_in_a_row():
    signs = [1, -1, 1, -1, -1, 1, -1, 1, -1]
    gradients = [np.full(3, float(sign)) for sign in signs]
    found = readings(ChaosGuard(reversals=4), gradients)
    assert [bool(reading.alarm) for reading in found] == [False] * 8 + [True]
    assert "4 outer gradients in a row" in found[-1].alarm


@pytest.mark.parametrize(
    ("limits", "message"),
    [({"growth": 1.0}, "guard.growth is 1"), ({"window": 0}, "guard.window is 0")],
)
def test_limits_out_of_range(limits, message):
    with pytest.raises(InputError, match=message):
        ChaosGuard(**limits)


def test_the_first_record_has_no_cosine():
    first, second = readings(ChaosGuard(), of_norms(1, 1))
    assert set(first.record()) == {"growth", "alarm"}
    assert second.record() == {"cosine": pytest.approx(1.0), "growth": 1.0, "alarm": ""}
