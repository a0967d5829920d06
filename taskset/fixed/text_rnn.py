"""The fixed tasks that classify reviews of films by a recurrent network."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from taskset.base import Key
from taskset.configured import TaskSpec
from taskset.families import rnn_text_classification
from taskset.families.rnn_text_classification import IMDB, RNNTextClassification
from taskset.fixed.language_models import core
from taskset.networks.dims import Dim
from taskset.networks.recurrent import VanillaCore
from taskset.options import Options


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Identity:
    """The initialiser whose weights are the unit matrix."""

    def __call__(self, key: Key, *dims: Dim) -> jax.Array:
        """[sizes of `dims`] float32, zero in the padding."""
        del key
        rows, columns = dims
        return columns.clear(jnp.eye(rows.padded, columns.padded))


def _classification(
    options: Options,
    kind: str,  # "LSTM", "GRU", "VRNN", or "IRNN": VRNN that starts from the identity
    core_dim: int,
    patch_length: int,
    batch_size: int,
    embed_dim: int = 64,
    readout: str = "last",
    activation: str = "tanh",
) -> TaskSpec:
    config: dict[str, Any] = {
        "core": core("vrnn" if kind == "IRNN" else kind.lower(), core_dim, activation),
        "embed_dim": embed_dim,
        "vocab_size": 10_000,
        "trainable_init": True,
        "loss_compute": readout,
        "w_init": ["default", None],
        "dataset": [
            IMDB,
            {
                "bs": batch_size,
                "patch_length": patch_length,
                "num_train": None,
                "just_train": False,
                "max_token": 10_000,
            },
        ],
    }
    spec = rnn_text_classification.build(config, options)
    return _from_identity(spec) if kind == "IRNN" else spec


def _from_identity(spec: TaskSpec) -> TaskSpec:
    task = spec.template
    assert isinstance(task, RNNTextClassification)
    assert isinstance(task.network.core, VanillaCore)
    vanilla = dataclasses.replace(task.network.core, hidden_to_hidden=Identity())
    network = dataclasses.replace(task.network, core=vanilla)
    return spec._replace(template=dataclasses.replace(task, network=network))


_long = partial(_classification, patch_length=128, batch_size=64)
_short = partial(_classification, patch_length=32, batch_size=128)
_suffixes = {
    "patch32_LSTM128_bs128": partial(_short, kind="LSTM", core_dim=128),
    "patch128_LSTM128_bs64": partial(_long, kind="LSTM", core_dim=128),
    "patch32_LSTM128_E128_bs128": partial(_short, kind="LSTM", core_dim=128, embed_dim=128),
    "patch128_LSTM128_embed128_bs64": partial(_long, kind="LSTM", core_dim=128, embed_dim=128),
    "patch128_LSTM128_avg_bs64": partial(_long, kind="LSTM", core_dim=128, readout="avg"),
    "patch32_GRU128_bs128": partial(_short, kind="GRU", core_dim=128),
    "patch32_GRU64_avg_bs128": partial(_short, kind="GRU", core_dim=64, readout="avg"),
    "patch32_VRNN128_tanh_bs128": partial(_short, kind="VRNN", core_dim=128),
    "patch32_VRNN64_tanh_avg_bs128": partial(_short, kind="VRNN", core_dim=64, readout="avg"),
    "patch32_VRNN64_relu_avg_bs128": partial(
        _short, kind="VRNN", core_dim=64, readout="avg", activation="relu"
    ),
    "patch32_IRNN64_relu_avg_bs128": partial(
        _short, kind="IRNN", core_dim=64, readout="avg", activation="relu"
    ),
    "patch32_IRNN64_relu_last_bs128": partial(_short, kind="IRNN", core_dim=64, activation="relu"),
}
TASKS = {f"FixedTextRNNClassification_imdb_{suffix}": task for suffix, task in _suffixes.items()}
