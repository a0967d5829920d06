"""Small networks inside optimizers, feature-major: [features, parameters]."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from metaopt.torch.architecture import Shapes
from metaopt.torch.features import inverse_rms


def layer_shapes(name: str, fan_in: int, fan_out: int) -> Shapes:
    """The shapes of the weights of a layer."""
    return {f"{name}.weight": (fan_in, fan_out), f"{name}.bias": (fan_out,)}


def network_shapes(sizes: Sequence[int], prefix: str = "") -> Shapes:
    """Those of a network with layers of these sizes; `prefix` ends with a dot."""
    shapes: Shapes = {}
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        shapes |= layer_shapes(f"{prefix}layer{index}", fan_in, fan_out)
    return shapes


def dense(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """[inputs, n] to [outputs, n]."""
    return torch.addmm(layer["bias"][:, None], layer["weight"].T, x)


def after_first_layer(network: Any, hidden: torch.Tensor) -> torch.Tensor:
    """The outputs of a network, [outputs, n], from its first layer before it is rectified."""
    for index in range(1, len(network)):
        hidden = dense(network[f"layer{index}"], torch.relu_(hidden))
    return hidden


def apply_to_features(
    network: Any, features: torch.Tensor, shared: torch.Tensor, epsilon: float
) -> torch.Tensor:
    """The outputs, [outputs, n], from features [k, n] and others, [j], that parameters share.

    Each feature is divided by its root mean square; `shared` is not.
    """
    first, num_features = network["layer0"], len(features)
    weight = first["weight"][:num_features] * inverse_rms(features, epsilon)[:, None]
    bias = shared @ first["weight"][num_features:] + first["bias"]
    return after_first_layer(network, torch.addmm(bias[:, None], weight.T, features))
