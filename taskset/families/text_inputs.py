"""Text tasks of a configuration: the text, the bucket of its minibatches, and the network."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Dataset, Key, Split
from taskset.data.text import TextDataset
from taskset.data.text_data import TextData
from taskset.networks.dims import Scalar
from taskset.networks.recurrent import Core, GRUCore, InitialState, LSTMCore, VanillaCore
from taskset.options import Options

BATCH_SIZE = 512  # of the one bucket: what is not real of it is skipped
EMBED_SIZES = (128,)
CORE_SIZES = (128, 256)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PaddedText(Dataset):
    """Minibatches of which the first `num_rows` are real; "extent", [rows] int32, says so.

    It is the number of real steps of each row, 0 for rows of padding.
    """

    text: TextDataset
    num_rows: Scalar  # [] int32

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        extent = jnp.where(jnp.arange(batch_size) < self.num_rows, self.text.patch_length, 0)
        return self.text.sample(split, key, batch_size) | {"extent": extent}

    def whole(self, split: Split) -> Batch:
        batch = self.text.whole(split)
        extent = jnp.broadcast_to(self.text.patch_length, (batch["tokens"].shape[0],))
        return batch | {"extent": extent}


@dataclasses.dataclass(frozen=True)
class TextSpec:
    """The data of a task on text, as `DataSpec` wants it."""

    data: TextData
    batch_size: int
    padded: bool

    @property
    def padded_batch_size(self) -> int:
        """Rows of a minibatch, padding included."""
        return BATCH_SIZE if self.padded else self.batch_size

    def load(self) -> Dataset:
        """Windows of text; in a bucket, with their "extent"."""
        text = self.data.load()
        if not self.padded:
            return text
        with jax.ensure_compile_time_eval():
            return PaddedText(text, jnp.asarray(self.batch_size, jnp.int32))


def real_steps(batch: Batch, *, count_padding: bool) -> jax.Array:
    """Which tokens of a minibatch of text are real, [rows, steps] bool.

    With `count_padding`, those beyond the end of a document are too.
    """
    mask = batch["mask"] > 0
    real = jnp.ones_like(mask) if count_padding else mask
    if "extent" in batch:
        real &= jnp.arange(mask.shape[1])[None] < batch["extent"][:, None]
    return real


def recurrent_core(
    pair: Sequence[Any],
    embed_dim: int,
    options: Options,
    embed_sizes: tuple[int, ...] = EMBED_SIZES,
) -> Core:
    """The core of a configuration's `[kind, settings]`, on inputs of `embed_dim`.

    `embed_sizes` are those of buckets.
    """
    kind, settings = pair
    inputs = options.dim(embed_dim, embed_sizes)
    hidden = options.dim(settings["core_dim"], CORE_SIZES)
    weights = lambda *names: tuple(options.any_initializer(settings[name]) for name in names)
    if kind == "lstm":
        return LSTMCore(inputs, hidden, *weights("w_gates"))
    if kind == "gru":
        return GRUCore(inputs, hidden, weights("wz", "wr", "wh"), weights("uz", "ur", "uh"))
    activation = options.activation(settings["act_fn"])
    return VanillaCore(inputs, hidden, activation, *weights("in_to_hidden", "hidden_to_hidden"))


def initial_state(trainable: bool, options: Options) -> InitialState:
    """Learned or zero; in a bucket, an input of the program says which."""
    if not options.padded:
        return InitialState(trainable)
    return InitialState(True, np.float32(trainable))


def common_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration says about its text, as fields of `TextData`."""
    return {name: settings[name] for name in ("patch_length", "num_train", "just_train")}
