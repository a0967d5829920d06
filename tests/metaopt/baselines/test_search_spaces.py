"""Search spaces: the released configurations, by name."""

import numpy as np
import pytest

from metaopt.baselines import search_spaces
from metaopt.baselines.search_spaces import hyperparameters, sample
from taskset.errors import InputError

# As they were released; logarithms differ in the last bits between platforms.
RELEASED = {
    "adam1p_wide_grid_seed999": {"learning_rate": 0.006292709692820893},
    "adam6p_wide_grid_seed999": {
        "learning_rate": 4.798908498958839e-07,
        "beta1": 0.6494730282512732,
        "beta2": 0.9793299004675581,
        "epsilon": 2.3219490727653636,
        "linear_decay": 2.1316477553539054e-07,
        "exponential_decay": 6.5924967315612755e-06,
    },
    "nadamw_grid_seed999": {
        "learning_rate": 0.0003033444884791146,
        "beta1": 0.7960016377487121,
        "beta2": 0.869085551376238,
        "epsilon": 0.0020915261149098523,
        "use_nesterov": False,
        "adamw_weight_decay": 0.007356587309209756,
        "l2_weight_decay": 0.0,
        "warmup_fraction": 0.0,
        "min_learning_rate_mult": 0.0,
        "constant_fraction": 0.47336551908529734,
    },
}
RANGES = {
    "adam1p_wide_grid": {"learning_rate": (1e-8, 10)},
    "adam4p_wide_grid": {
        "learning_rate": (1e-8, 10),
        "beta1": (0, 1 - 1e-4),
        "beta2": (0, 1 - 1e-6),
        "epsilon": (1e-10, 1e3),
    },
    "adam8p_wide_grid": {
        "learning_rate": (1e-8, 10),
        "beta1": (0, 1 - 1e-4),
        "beta2": (0, 1 - 1e-6),
        "epsilon": (1e-10, 1e3),
        "l1": (1e-8, 10),
        "l2": (1e-8, 10),
        "linear_decay": (1e-7, 1e-4),
        "exponential_decay": (1e-6, 1e-3),
    },
    "adagrad_wide_grid": {
        "learning_rate": (1e-8, 10),
        "initial_accumulator_value": (1e-10, 1e3),
    },
}


@pytest.mark.parametrize("name", RELEASED)
def test_released_configurations(name):
    found = hyperparameters(name)
    assert list(found) == list(RELEASED[name])
    for key, value in RELEASED[name].items():
        assert type(found[key]) is type(value)
        np.testing.assert_allclose(found[key], value, rtol=3e-15, err_msg=key)


@pytest.mark.parametrize("space", RANGES)
def test_numbers_are_log_uniform_in_their_ranges(space):
    drawn = [sample(space, seed) for seed in range(1000)]
    assert all(list(values) == list(RANGES[space]) for values in drawn)
    for key, (low, high) in RANGES[space].items():
        values = np.asarray([values[key] for values in drawn])
        assert low <= np.min(values) and np.max(values) <= high
        is_beta = key.startswith("beta")
        logs = np.log(1 - values if is_beta else values)
        ends = np.log((1 - high, 1 - low) if is_beta else (low, high))
        assert abs(np.mean(logs) - np.mean(ends)) < 4 * np.ptp(ends) / np.sqrt(12 * 1000)


def test_equal_offsets_share_what_they_draw_first():
    for seed in (0, 7, 999):
        small, large = (sample(f"adam{n}p_wide_grid", seed) for n in (4, 8))
        assert small.items() <= large.items()
        adagrad = sample("adagrad_wide_grid", seed)
        assert adagrad["learning_rate"] == small["learning_rate"]
        assert sample("adam6p_wide_grid", seed)["learning_rate"] != small["learning_rate"]


def test_kinds_of_nadamw():
    drawn = [sample("nadamw_grid", seed) for seed in range(1000)]
    adamw, l2 = (
        np.asarray([values[f"{kind}_weight_decay"] > 0 for values in drawn])
        for kind in ("adamw", "l2")
    )
    assert np.all(adamw | l2)
    assert np.sum(l2) == 641  # of the released list
    bound = 4 * np.sqrt(1000 * 2 / 9)
    assert abs(np.sum(adamw & l2) - 1000 / 3) < bound
    assert abs(np.sum([values["min_learning_rate_mult"] == 0 for values in drawn]) - 500) < 64


def test_samplers_go_on_beyond_the_release():
    first = {name: sample(name, 1000) for name in search_spaces.names()}
    assert all(first[name] != sample(name, 1001) for name in first)
    largest = 2**32 - 1 - 4123
    assert sample("adam1p_wide_grid", largest) == hyperparameters(f"adam1p_wide_grid_seed{largest}")


def test_fixed_names():
    names = search_spaces.fixed_names()
    assert len(names) == 35 == len(set(names))
    assert hyperparameters("adam_lr_-3.50") == {"learning_rate": 10**-3.5}
    assert hyperparameters("adam_lr_1.00") == {"learning_rate": 10.0}
    assert hyperparameters("adagrad_lr_-7.00") == {
        "learning_rate": 1e-7,
        "initial_accumulator_value": 0.1,
    }
    assert hyperparameters("zero") == {}


def test_a_configuration_is_the_callers_own():
    hyperparameters("adam_lr_0.00")["learning_rate"] = 5.0
    assert hyperparameters("adam_lr_0.00") == {"learning_rate": 1.0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adam8_wide_grid_seed7", "unknown search space 'adam8_wide_grid'; did you mean 'adam8p"),
        ("adam8p_wide_grid_seed07", "unknown optimizer .* did you mean 'adam8p_wide_grid_seed0'"),
        ("adam8p_wide_grid", "did you mean 'adam8p_wide_grid_seed0'"),
        ("adam_lr_-3.5", "unknown optimizer 'adam_lr_-3.5'; did you mean 'adam_lr_-3.50'"),
        ("adam_lr_1.50", "did you mean 'adam_lr_-1.50'"),
        ("zero_seed0", "unknown search space 'zero'"),
        ("", "unknown optimizer ''; valid: "),
        ("nadamw_grid_seed4294967295", "seed of nadamw_grid is 4294967295; .* at most 4294952937"),
        ("nadamw_grid_seed" + "9" * 5000, "seed of nadamw_grid is 99999999999; .* at most"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        hyperparameters(name)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed of nadamw_grid is -1; it must be at least 0"):
        sample("nadamw_grid", -1)
