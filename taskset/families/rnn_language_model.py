"""Recurrent language models, of bytes and of subwords."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.data.text_data import VALIDATION_SIZE, VALIDATION_SIZE_WORDS, TextData
from taskset.data.text_sources import split_name
from taskset.families.text_inputs import (
    TextSpec,
    common_settings,
    initial_state,
    real_steps,
    recurrent_core,
)
from taskset.networks.dense import init_dense
from taskset.networks.initializers import Initializer
from taskset.networks.sequences import Block, TokenLosses
from taskset.networks.token_rnn import TokenRNN
from taskset.options import Options


class Bucket(NamedTuple):
    """The sizes that models of bytes, or of subwords, are padded to."""

    patch_length: int  # the longest
    vocab_sizes: tuple[int, ...]


# With subwords, the products with the last weights are most of the work, and those grow with the
# vocabulary.
BUCKETS = {
    "bytes": Bucket(160, (256,)),
    "subwords": Bucket(256, (4096, 12288, 30000)),
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RNNLanguageModel(ConfiguredTask):
    """Mean cross-entropy, in nats, of each token of a window but the first, given those before."""

    network: TokenRNN
    output: Initializer
    count_padding: bool = dataclasses.field(metadata={"static": True})  # after documents

    def init(self, key: Key) -> Params:
        key_network, key_output = jax.random.split(key)
        core, vocab = self.network.core, self.network.vocab
        return self.network.init(key_network) | {
            "output": init_dense(key_output, core.hidden, vocab, self.output)
        }

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        tokens = self.network.clip(batch["tokens"])
        real = real_steps(batch, count_padding=self.count_padding)[:, 1:]
        weight = real.astype(jnp.float32)
        sequences = Block(real=real, label=tokens[:, 1:], weight=weight)
        total, _ = self.network.read(
            params, tokens[:, :-1], sequences, TokenLosses(self.network.vocab), batch.get("extent")
        )
        return jnp.sum(total) / jnp.maximum(jnp.sum(weight), 1.0)


def build(config: Mapping[str, Any], options: Options) -> TaskSpec:
    """The task of a configuration of `char_` or `word_rnn_language_model_family`."""
    name, settings = config["dataset"]
    corpus, tokens = split_name(name)
    is_bytes = tokens == "bytes"
    data = TextData(
        corpus,
        options.source,
        tokens,
        padded_length=BUCKETS[tokens].patch_length if options.padded else None,
        validation_size=VALIDATION_SIZE if is_bytes else VALIDATION_SIZE_WORDS,
        last_window=not options.released,
        **common_settings(settings),
    )
    task = language_model(config, options, BUCKETS[tokens], count_padding=options.released)
    spec = TextSpec(data, settings["batch_size"], options.padded)
    return TaskSpec(task, spec, spec.padded_batch_size)


def language_model(
    config: Mapping[str, Any], options: Options, bucket: Bucket, *, count_padding: bool
) -> RNNLanguageModel:
    """The model of a configuration."""
    network = TokenRNN(
        options.dim(config["vocab_size"], bucket.vocab_sizes),
        recurrent_core(config["core"], config["embed_dim"], options),
        initial_state(config["trainable_init"], options),
    )
    return RNNLanguageModel(network, options.any_initializer(config["w_init"]), count_padding)
