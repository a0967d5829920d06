"""The shared samplers against the distributions they should have."""

import collections

import numpy as np

from taskset.configs import draws

NUM = 4000


def shares(drawn):
    return {name: count / NUM for name, count in collections.Counter(drawn).items()}


def within_four_standard_errors(share, probability):
    return abs(share - probability) < 4 * np.sqrt(probability * (1 - probability) / NUM)


def test_activations_come_in_sixteenths():
    rng = np.random.RandomState(0)
    found = shares(draws.activation(rng) for _ in range(NUM))
    assert sum(draws.ACTIVATION_WEIGHTS.values()) == 16
    assert set(found) == set(draws.ACTIVATION_WEIGHTS)
    for name, weight in draws.ACTIVATION_WEIGHTS.items():
        assert within_four_standard_errors(found[name], weight / 16)


def test_only_some_initialisers_have_a_scale():
    rng = np.random.RandomState(0)
    drawn = [draws.initializer(rng) for _ in range(NUM)]
    found = shares(name for name, _ in drawn)
    for name, weight in draws.INITIALIZER_WEIGHTS.items():
        assert within_four_standard_errors(found[name], weight / 13)
    fixed = {name for name, scale in drawn if scale is None}
    assert fixed == {"he_normal", "he_uniform", "glorot_normal", "glorot_uniform"}
    scales = [scale for _, scale in drawn if scale is not None]
    assert 0.1 <= min(scales) < 0.11
    assert 9.0 < max(scales) <= 10


def test_integers_are_rounded_to_the_nearest():
    rng = np.random.RandomState(0)
    found = shares(draws.log_integer(rng, 1, 3) for _ in range(NUM))
    expected = {
        1: np.log(1.5) / np.log(3),
        2: np.log(2.5 / 1.5) / np.log(3),
        3: np.log(3 / 2.5) / np.log(3),
    }
    assert set(found) == set(expected)
    for value, probability in expected.items():
        assert within_four_standard_errors(found[value], probability)


def test_four_of_five_cores_share_one_initialiser_between_their_weights():
    rng = np.random.RandomState(0)
    cores = [draws.rnn_core(rng) for _ in range(NUM)]
    found = shares(kind for kind, _ in cores)
    assert all(within_four_standard_errors(found[kind], 1 / 3) for kind in ("vrnn", "gru", "lstm"))
    grus = [settings for kind, settings in cores if kind == "gru"]
    linked = np.mean(
        [
            all(settings[name] == settings["wh"] for name in ("wz", "wr", "uh", "uz", "ur"))
            for settings in grus
        ]
    )
    assert abs(linked - 0.8) < 4 * np.sqrt(0.8 * 0.2 / len(grus))
    assert all(32 <= settings["core_dim"] <= 128 for _, settings in cores)
