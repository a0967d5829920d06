"""Text held on the device: random windows of random documents, by key."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from taskset.base import Batch, Dataset, Key, Split
from taskset.data.tokenizers import PADDING

LONGEST_PATCH = 1024  # tokens; the stream goes on for so long after its last document
WHOLE_WINDOWS = 1024


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TextDataset(Dataset):
    """Windows of `patch_length` tokens: of a document drawn uniformly, from a uniform start.

    A shorter document is taken whole, from its start, and padded on the right. A batch is
    {"tokens": [B, padded_length] int32, "mask": [B, padded_length] float32, 1 for tokens of the
    document and 0 for padding, "label": [B] int32}; labels are 0 where the text has none. What a
    batch holds in its first b rows, and in its first `patch_length` columns, depends neither on
    batch_size nor on padded_length: smaller tasks can share a program with larger ones.

    Splits are ranges of documents of one stream, so caps on the training set, and training splits
    used as validation splits, change numbers and not arrays.
    """

    stream: jax.Array  # [num_tokens + at least LONGEST_PATCH] uint8 or uint16: ids less one
    starts: jax.Array  # [num_documents] int32, in the stream
    lengths: jax.Array  # [num_documents] int32
    labels: jax.Array  # [num_documents] int32
    first_document: Mapping[Split, jax.Array]  # [] int32
    num_documents: Mapping[Split, jax.Array]  # [] int32
    patch_length: jax.Array  # [] int32, tokens of a window; at most padded_length
    padded_length: int = dataclasses.field(metadata={"static": True})  # at most LONGEST_PATCH
    # Whether a window may end where a longer document ends; in TaskSet's release
    # (https://arxiv.org/abs/2002.11887) the last possible start is never drawn.
    last_window: bool = dataclasses.field(default=True, metadata={"static": True})

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        # A key for each row: then a row does not depend on how many there are.
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch_size))
        return jax.vmap(lambda key: self._window(split, key))(keys)

    def whole(self, split: Split) -> Batch:
        """The same `WHOLE_WINDOWS` random windows at each call.

        All windows of a split would be as many as its tokens.
        """
        return self.sample(split, jax.random.key(0), WHOLE_WINDOWS)

    def _window(self, split: Split, key: Key) -> Batch:
        key_document, key_start = jax.random.split(key)
        index = jax.random.randint(key_document, (), 0, self.num_documents[split])
        document = self.first_document[split] + index
        length = self.lengths[document]
        num_starts = length - self.patch_length + int(self.last_window)
        start = jax.random.randint(key_start, (), 0, jnp.maximum(num_starts, 1))
        window = jax.lax.dynamic_slice(
            self.stream, (self.starts[document] + start,), (self.padded_length,)
        )
        real = jnp.arange(self.padded_length) < jnp.minimum(length, self.patch_length)
        return {
            "tokens": jnp.where(real, window.astype(jnp.int32) + 1, PADDING),
            "mask": real.astype(jnp.float32),
            "label": self.labels[document],
        }
