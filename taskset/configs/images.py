"""Configurations of the families on images: classifiers, autoencoders and densities."""

from itertools import cycle, islice
from typing import Any

import numpy as np

from taskset.configs.datasets import image_dataset
from taskset.configs.draws import activation, flag, initializer, log_integers
from taskset.distributions import one_of

STRIDES = {"all_two": (2,), "one_two": (1, 2), "two_one": (2, 1)}  # repeated up to the depth


def sample_mlp(rng: np.random.RandomState) -> dict[str, Any]:
    """A classifier; `layer_sizes` are its hidden layers, 1 to 6 of 16 to 128 units."""
    return {
        "layer_sizes": log_integers(rng, one_of(rng, (1, 2, 3, 4, 5, 6)), 16, 128),
        **_network(rng),
        "dataset": image_dataset(rng),
        "center_data": flag(rng),
    }


def sample_mlp_ae(rng: np.random.RandomState) -> dict[str, Any]:
    """An autoencoder; what its output passes through, and the distance to the input."""
    return {
        "hidden_units": log_integers(rng, one_of(rng, (1, 2, 3, 4, 5, 6)), 32, 128),
        **_network(rng),
        "dataset": image_dataset(rng),
        "output_type": one_of(
            rng, ("tanh", "tanh", "sigmoid", "sigmoid", "linear_center", "linear")
        ),
        "loss_type": one_of(rng, ("l2", "l2", "l1")),
        "reduction_type": one_of(rng, ("reduce_mean", "reduce_sum")),
    }


def sample_mlp_vae(rng: np.random.RandomState) -> dict[str, Any]:
    """A variational autoencoder; the last of `enc_hidden_units` is the size of the latent."""
    return {
        "enc_hidden_units": log_integers(rng, one_of(rng, (1, 2, 3, 4)), 32, 128),
        "dec_hidden_units": log_integers(rng, one_of(rng, (1, 2, 3)), 32, 128),
        **_network(rng),
        "dataset": image_dataset(rng),
    }


def sample_conv_fc(rng: np.random.RandomState) -> dict[str, Any]:
    """A classifier of 1 to 5 convolutions, then up to 3 dense layers; 3x3 kernels throughout."""
    return {
        **_convolutions(rng),
        "fc_hidden_units": log_integers(rng, one_of(rng, (0, 1, 2, 3)), 32, 128),
        "use_bias": flag(rng),
        "dataset": image_dataset(rng),
        "center_data": flag(rng),
    }


def sample_conv_pooling(rng: np.random.RandomState) -> dict[str, Any]:
    """A classifier of 1 to 5 convolutions, then a pool over all pixels."""
    return {
        **_convolutions(rng),
        "pool_type": one_of(rng, ("mean", "max", "squared_mean")),
        "use_bias": flag(rng),
        "dataset": image_dataset(rng),
        "center_data": flag(rng),
    }


def sample_flow(rng: np.random.RandomState) -> dict[str, Any]:
    """A density of 1 to 4 bijectors, for Real NVP and masked autoregressive flows alike."""
    return {
        **_network(rng),
        "dataset": image_dataset(rng),
        "hidden_units": log_integers(rng, one_of(rng, (1, 2)), 16, 128),
        "num_bijectors": one_of(rng, (1, 2, 3, 4)),
    }


def _network(rng: np.random.RandomState) -> dict[str, Any]:
    return {"activation": activation(rng), "w_init": initializer(rng)}


def _convolutions(rng: np.random.RandomState) -> dict[str, Any]:
    depth = one_of(rng, (1, 2, 3, 4, 5))
    pattern = STRIDES[one_of(rng, tuple(STRIDES))]
    return {
        "strides": [[stride, stride] for stride in islice(cycle(pattern), depth)],
        "hidden_units": log_integers(rng, depth, 8, 64),
        **_network(rng),
        "padding": [one_of(rng, ("SAME", "VALID")) for _ in range(depth)],
    }
