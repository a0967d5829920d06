"""What is known of the thousand released configurations of a family taken together."""

import collections
import functools
import itertools

import numpy as np
import pytest

from taskset import configs
from taskset.configs.datasets import IMAGE_DATASETS, image_side


@functools.cache
def thousand(family):
    return [configs.config(f"{family}_seed{seed}") for seed in range(1000)]


def num_mlp_params(config):
    """Weights and biases of the classifier on images after their crop."""
    image = IMAGE_DATASETS[config["dataset"][0]]
    num_pixels = image_side(config["dataset"]) ** 2 * image.shape[2]
    widths = [num_pixels, *config["layer_sizes"], image.num_classes]
    return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(widths))


def tokens_per_batch(config):
    settings = config["dataset"][1]
    return settings["batch_size"] * settings["patch_length"]


@pytest.mark.parametrize(
    ("family", "size", "expected"),  # minimum, 5 %, median, 95 %, maximum
    [
        ("mlp_family", num_mlp_params, [13.5e3, 26.3e3, 111e3, 365e3, 514e3]),
        ("mlp_family", lambda config: config["dataset"][1]["bs"], [8, 10, 51, 233, 473]),
        ("char_rnn_language_model_family", tokens_per_batch, [90, 238, 2826, 28.6e3, 69.7e3]),
        ("word_rnn_language_model_family", tokens_per_batch, [90, 252, 3531, 40.3e3, 109e3]),
        ("quadratic_family", lambda config: config["dims"], [2, 3, 67, 1885, 2997]),
    ],
)
def test_sizes_are_distributed_as_those_of_the_released_tasks(family, size, expected):
    sizes = [size(config) for config in thousand(family)]
    found = np.percentile(sizes, [0, 5, 50, 95, 100])
    np.testing.assert_allclose(found, expected, rtol=3e-3)


def test_546_quadratics_have_noise():
    assert sum(config["noise"] is not None for config in thousand("quadratic_family")) == 546


def test_each_kind_of_small_problem_is_as_frequent_as_released():
    assert collections.Counter(kind for kind, _, _ in thousand("losg_tasks_family")) == {
        "quadratic": 92,
        "sum_of_quadratics": 80,
        "fully_connected": 79,
        "norm": 78,
        "sparse_softmax_regression": 75,
        "min_max_well": 75,
        "dependency_chain": 72,
        "rescale_problems": 70,
        "log_objective": 65,
        "outward_snake": 65,
        "bowl": 65,
        "projection_quadratic": 64,
        "optimization_test_problems": 61,
        "sparse_problems": 59,
    }


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (
            "conv_fc_family",
            "conv_pooling_family",
            ("strides", "hidden_units", "activation", "w_init", "padding"),
        ),
        (
            "char_rnn_language_model_family",
            "word_rnn_language_model_family",
            ("embed_dim", "w_init"),
        ),
        (
            "char_rnn_language_model_family",
            "rnn_text_classification_family",
            ("embed_dim", "w_init"),
        ),
    ],
)
def test_families_without_an_offset_share_their_first_draws(first, second, shared):
    for one, other in zip(thousand(first), thousand(second)):
        assert [one[key] for key in shared] == [other[key] for key in shared]


def test_families_with_offsets_do_not():
    pairs = zip(thousand("nvp_family"), thousand("maf_family"))
    equal = sum(one["dataset"][0] == other["dataset"][0] for one, other in pairs)
    assert abs(equal / 1000 - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 1000)
