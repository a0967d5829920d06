"""A recurrent network that reads tokens: an embedding, a core, and its initial state."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from taskset.base import Key, Params
from taskset.networks.dims import Dim
from taskset.networks.initializers import draw_normal
from taskset.networks.recurrent import Core, InitialState, project
from taskset.networks.sequences import Block, Reader, Recurrence, read_sequences

# Up to so many tokens, and the size of the minibatch, what the core makes of each is computed once:
# a lookup is much cheaper than a product of matrices. How much of a padded minibatch is real is
# not known beforehand, so there only of few.
LARGEST_PROJECTED_VOCAB = 4096
LARGEST_PROJECTED_PADDED_VOCAB = 256


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TokenRNN:
    """An embedding with standard normal rows, and a recurrent core. Tokens above `vocab` are cut
    to the largest one.
    """

    vocab: Dim
    core: Core
    initial: InitialState

    def init(self, key: Key) -> Params:
        """`{"embedding": [vocab, inputs], "core": {...}, "initial": {...}}`."""
        key_embedding, key_core = jax.random.split(key)
        embedding = draw_normal(key_embedding, (self.vocab.padded, self.core.inputs.padded))
        return {
            "embedding": self.core.inputs.clear(self.vocab.clear(embedding, 0)),
            "core": self.core.init(key_core),
            "initial": self.initial.init(self.core),
        }

    def clip(self, tokens: jax.Array) -> jax.Array:
        """`tokens`, int32, as ids of the vocabulary."""
        size = self.vocab.padded if self.vocab.size is None else self.vocab.size
        return jnp.minimum(tokens, size - 1)

    def read(
        self,
        params: Params,
        tokens: jax.Array,
        sequences: Block,
        reader: Reader,
        extent: jax.Array | None,
    ) -> tuple[Any, jax.Array]:
        """`read_sequences` of clipped tokens [rows, steps]; `params` are what `init` gave, with
        what the reader takes.
        """
        weights, table = self.core.arrange(params["core"]), params["embedding"]
        largest = min(LARGEST_PROJECTED_VOCAB, tokens.size)
        if extent is not None:
            largest = LARGEST_PROJECTED_PADDED_VOCAB
        is_projected = self.vocab.padded <= largest
        if is_projected:
            table = project(weights, table)
        recurrence = Recurrence(self.core, reader, is_projected)
        start = self.initial.of(params["initial"], self.core)
        weights = params | {"core": weights}
        del weights["embedding"]
        return read_sequences(recurrence, weights, table, start, tokens, sequences, extent)
