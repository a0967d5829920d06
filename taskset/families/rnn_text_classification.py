"""Classification of text by a recurrent network."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.data.text_data import TextData
from taskset.data.text_sources import split_name
from taskset.families.text_inputs import (
    TextSpec,
    common_settings,
    initial_state,
    real_steps,
    recurrent_core,
)
from taskset.networks.choices import Choice
from taskset.networks.dense import dense, init_dense
from taskset.networks.dims import Dim
from taskset.networks.initializers import Initializer
from taskset.networks.losses import cross_entropy
from taskset.networks.sequences import Block, Reader
from taskset.networks.token_rnn import TokenRNN
from taskset.options import Options

READOUTS = ("last", "avg", "max")
# Rows that are never read cost nothing in a step of SGD, but an update by a learned optimizer each.
VOCAB_SIZES = (1024, 3072, 10_000)
EMBED_SIZES = (32, 128)
CLASSES = (5,)
PATCH_LENGTH = 128  # the longest

# A comma that is missing in the released list of data sets made one name of two; all of them meant
# the first of the two, for another slip.
IMDB = "imdb_reviews/subwords8k"
FUSED_NAME = IMDB + "imdb_reviews/bytes"

LEAST = -1e30  # less than any output; finite, so that gradients are


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pools(Reader):
    """The sum and the largest of the outputs of the real steps of each row, [rows, hidden]."""

    nothing: ClassVar[dict[str, float]] = {"sum": 0.0, "max": LEAST}

    def read(self, weights: Any, outputs: jax.Array, block: Block) -> dict[str, jax.Array]:
        del weights
        assert block.real is not None
        real = block.real[:, :, None]
        return {
            "sum": jnp.sum(jnp.where(real, outputs, 0.0), axis=0),
            "max": jnp.max(jnp.where(real, outputs, LEAST), axis=0),
        }


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RNNTextClassification(ConfiguredTask):
    """Mean cross-entropy, in nats, of a dense layer on the last, mean or largest outputs."""

    network: TokenRNN
    readout: Choice
    output: Initializer
    classes: Dim
    count_padding: bool = dataclasses.field(metadata={"static": True})  # after documents

    def init(self, key: Key) -> Params:
        key_network, key_output = jax.random.split(key)
        hidden = self.network.core.hidden
        return self.network.init(key_network) | {
            "output": init_dense(key_output, hidden, self.classes, self.output)
        }

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        tokens, extent = self.network.clip(batch["tokens"]), batch.get("extent")
        real = real_steps(batch, count_padding=self.count_padding)
        features = self.features(params, tokens, real, extent)
        logits = dense(params["output"], features)
        rows = Dim(tokens.shape[0], None if extent is None else jnp.sum(extent > 0))
        return cross_entropy(logits, batch["label"], self.classes, rows)

    def features(
        self, params: Params, tokens: jax.Array, real: jax.Array, extent: jax.Array | None = None
    ) -> jax.Array:
        """What the dense layer reads, [rows, hidden], for clipped tokens [rows, steps]."""
        readings, last = self.network.read(params, tokens, Block(real), Pools(), extent)
        rows = tokens.shape[0]
        over_steps = lambda reduce, x: reduce(x, axis=1).reshape(-1, x.shape[-1])[:rows]
        count = jnp.maximum(jnp.sum(real.astype(jnp.float32), axis=1), 1.0)
        return self.readout.pick(
            {
                "last": lambda: last,
                "avg": lambda: over_steps(jnp.sum, readings["sum"]) / count[:, None],
                "max": lambda: over_steps(jnp.max, readings["max"]),
            }
        )


def build(config: Mapping[str, Any], options: Options) -> TaskSpec:
    """The task of a configuration of `rnn_text_classification_family`."""
    name, settings = config["dataset"]
    released = options.released
    corpus, tokens = split_name(IMDB if released or name == FUSED_NAME else name)
    common = common_settings(settings)
    data = TextData(
        corpus,
        options.source,
        tokens,
        padded_length=PATCH_LENGTH if options.padded else None,
        last_window=not released,
        **common | {"just_train": settings["just_train"] and not released},
    )
    vocab_size = min(config["vocab_size"], settings["max_token"])
    network = TokenRNN(
        options.dim(vocab_size, VOCAB_SIZES),
        recurrent_core(config["core"], config["embed_dim"], options, EMBED_SIZES),
        initial_state(config["trainable_init"], options),
    )
    task = RNNTextClassification(
        network,
        options.choice(config["loss_compute"], READOUTS),
        options.any_initializer(config["w_init"]),
        options.dim(num_classes(corpus), CLASSES),
        count_padding=released,
    )
    spec = TextSpec(data, settings["bs"], options.padded)
    return TaskSpec(task, spec, spec.padded_batch_size)


def num_classes(corpus: str) -> int:
    """Good or bad reviews, or one to five stars."""
    return 2 if corpus == "imdb_reviews" else 5
