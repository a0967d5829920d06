import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.estimators import at_once

MEGABYTE = 2**20


@pytest.mark.parametrize(
    "num_tasks, num_bytes, expected",
    [
        (16, 16, 16),
        (16, 8 * MEGABYTE, 4),
        (12, 5 * MEGABYTE, 4),
        (7, 3 * MEGABYTE, 1),
        (4, 10**12, 1),
    ],
)
def test_the_greatest_divisor_that_fits(num_tasks, num_bytes, expected):
    assert at_once.CACHE == 2 * MEGABYTE
    assert at_once.num_at_once(num_tasks, num_bytes) == expected


def test_what_is_carried_counts():
    sizes = []

    def function(x):
        sizes.append(x.shape)
        return 2 * x

    numbers = jnp.arange(4.0)
    carried = np.zeros((4, at_once.CACHE // 8), np.float32)  # two tasks fill the cache
    np.testing.assert_array_equal(at_once.over_tasks(function, numbers, like=carried), 2 * numbers)
    shapes = at_once.shapes_of(lambda key: jnp.zeros((3,)) + key, numbers)
    assert shapes.shape == (4, 3)
