"""The fixed tasks of memory: associations to recall, and sequences to copy."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.data.synthetic_sequences import Associations, Copies
from taskset.families.text_inputs import recurrent_core
from taskset.fixed.language_models import core
from taskset.networks.dense import init_dense
from taskset.networks.initializers import Initializer, initializer
from taskset.networks.recurrent import Core, InitialState, project
from taskset.networks.sequences import Block, Recurrence, TokenLosses, read_sequences
from taskset.options import Options

BATCH_SIZE = 128


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SequenceTask(ConfiguredTask):
    """Mean cross-entropy, in nats, of the targets of the steps that count."""

    core: Core  # its inputs are the tokens, one-hot
    output: Initializer

    def init(self, key: Key) -> Params:
        key_core, key_output = jax.random.split(key)
        core = self.core
        return {
            "core": core.init(key_core),
            "output": init_dense(key_output, core.hidden, core.inputs, self.output),
        }

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        core, vocab = self.core, self.core.inputs
        weights = core.arrange(params["core"])
        table = project(weights, jnp.eye(vocab.padded))  # what the core makes of each token
        start = InitialState().of({}, core)
        sequences = Block(label=batch["target"], weight=batch["mask"])
        recurrence = Recurrence(core, TokenLosses(vocab), is_projected=True)
        weights = {"core": weights, "output": params["output"]}
        total, _ = read_sequences(recurrence, weights, table, start, batch["tokens"], sequences)
        return jnp.sum(total) / jnp.sum(batch["mask"])


def _task(options: Options, data: Associations | Copies, kind: str, core_dim: int) -> TaskSpec:
    """Built exactly, whatever the buckets: lengths and alphabets are those of the problem."""
    options = dataclasses.replace(options, buckets="exact")
    pair = core(kind.lower(), core_dim)
    network = recurrent_core(pair, data.vocab_size, options)
    return TaskSpec(SequenceTask(network, initializer("default", None)), data, BATCH_SIZE)


_associations = (  # core, its size, pairs, tokens
    *(("LSTM", 128, 5, 20), ("LSTM", 128, 20, 50), ("LSTM", 256, 40, 100)),
    *((kind, 128, 10, 50) for kind in ("LSTM", "GRU", "VRNN")),
    *((kind, 256, 20, 50) for kind in ("LSTM", "GRU", "VRNN")),
)
_copies = (  # core, its size, length, tokens
    *(("LSTM", 128, 5, 10), ("LSTM", 128, 20, 20), ("LSTM", 128, 50, 5)),
    *((kind, 128, 20, 10) for kind in ("LSTM", "GRU", "VRNN")),
    *((kind, 256, 40, 50) for kind in ("LSTM", "GRU", "VRNN")),
)
TASKS = {
    f"Associative_{kind}{core_dim}_BS{BATCH_SIZE}_Pairs{pairs}_Tokens{tokens}": partial(
        _task, data=Associations(pairs, tokens), kind=kind, core_dim=core_dim
    )
    for kind, core_dim, pairs, tokens in _associations
} | {
    f"Copy_{kind}{core_dim}_BS{BATCH_SIZE}_Length{length}_Tokens{tokens}": partial(
        _task, data=Copies(length, tokens), kind=kind, core_dim=core_dim
    )
    for kind, core_dim, length, tokens in _copies
}
