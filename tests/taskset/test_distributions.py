"""The samplers against the moments of what they should draw."""

import numpy as np

from taskset.distributions import log_uniform, log_uniform_int, one_of

NUM = 4000


def test_log_uniform_is_uniform_in_the_logarithm_and_within_bounds():
    rng = np.random.RandomState(0)
    share = np.log([log_uniform(rng, 1.0, 1e4) for _ in range(NUM)]) / np.log(1e4)
    assert 0 <= share.min() <= share.max() <= 1
    assert abs(share.mean() - 0.5) < 4 * np.sqrt(1 / 12 / NUM)


def test_log_uniform_int_reaches_both_ends_with_the_right_frequencies():
    rng = np.random.RandomState(0)
    drawn = np.asarray([log_uniform_int(rng, 1, 3) for _ in range(NUM)])
    assert set(drawn) == {1, 2, 3}
    for value in (1, 2, 3):
        p = np.log((value + 1) / value) / np.log(4)
        assert abs((drawn == value).mean() - p) < 4 * np.sqrt(p * (1 - p) / NUM)


def test_one_of_draws_evenly():
    rng = np.random.RandomState(0)
    drawn = [one_of(rng, "abc") for _ in range(NUM)]
    for value in "abc":
        assert abs(drawn.count(value) / NUM - 1 / 3) < 4 * np.sqrt(2 / 9 / NUM)
