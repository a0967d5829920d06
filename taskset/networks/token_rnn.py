"""A recurrent network that reads tokens: an embedding, a core, and its initial state."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from taskset.base import Key, Params
from taskset.networks.dims import Dim
from taskset.networks.initializers import draw_normal
from taskset.networks.recurrent import Core, InitialState, project
from taskset.networks.sequences import Block, read_sequences

# Up to so many tokens, and the size of the minibatch, what the core makes of each is computed once:
# a lookup is much cheaper than a product of matrices.
LARGEST_PROJECTED_VOCAB = 4096


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
        sequences: Block,
        read: Callable[[jax.Array, Block], Any],
        nothing: Any,
        extent: jax.Array | None,
    ) -> tuple[Any, jax.Array]:
        """`read_sequences` of what `init` gave, for clipped tokens [rows, steps] as inputs."""
        weights, table = self.core.arrange(params["core"]), params["embedding"]
        if self.vocab.padded <= min(LARGEST_PROJECTED_VOCAB, sequences.inputs.size):
            table = project(weights, table)
            project_tokens = lambda tokens: table[tokens]
        else:
            project_tokens = lambda tokens: project(weights, table[tokens])
        start = self.initial.of(params["initial"], self.core)
        return read_sequences(
            self.core, weights, start, sequences, project_tokens, read, nothing, extent
        )
