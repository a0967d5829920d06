"""Which text a task is trained on: a corpus, a source, tokens, and how windows are drawn."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import SPLITS
from taskset.data import embedded_text, sources, text_sources, tfds_text
from taskset.data.text import LONGEST_PATCH, TextDataset
from taskset.data.text_corpus import TextInfo, tokenizer_of
from taskset.data.text_sources import Tokens
from taskset.data.tokenizers import Tokenizer
from taskset.errors import InputError, unknown_name

# Arrays are filled up to multiples of these, so that most corpora share their shapes, and so the
# compiled programs of their tasks.
TOKENS_MULTIPLE = 2**23
DOCUMENTS_MULTIPLE = 2**15

# TaskSet's: documents in each validation split of character models and classification, and of
# language models on subwords.
VALIDATION_SIZE = 3000
VALIDATION_SIZE_WORDS = 10_000


@dataclasses.dataclass(frozen=True)
class TextData:
    """The text of a task, in windows of `patch_length` tokens; see `TextDataset`.

    `name` is that of a corpus of TaskSet (https://arxiv.org/abs/2002.11887); with source
    "embedded", what stands in for it is used, and corpora that are embedded have names too.

    `num_train` caps the documents of train: the first ones of the stored order, which is random.
    `validation_size` documents off the front of train make each validation split where the source
    has none; embedded corpora have their own. With `just_train`, all splits are train.

    Raises `InputError` for an unknown name, source or kind of tokens, or a size out of its range.
    """

    name: str
    source: str = "embedded"  # or "tfds"
    tokens: Tokens = "bytes"
    patch_length: int = 128
    padded_length: int | None = None  # of the arrays; None: patch_length
    num_train: int | None = None
    just_train: bool = False
    validation_size: int = VALIDATION_SIZE
    last_window: bool = True  # False: as released, windows never end where a longer document ends

    def __post_init__(self) -> None:
        valid = names(self.source)
        if self.name not in valid:
            raise unknown_name(f"corpus of source {self.source}", self.name, valid)
        if self.tokens not in text_sources.SUFFIXES:
            raise unknown_name("kind of tokens", self.tokens, text_sources.SUFFIXES)
        self._check_size("patch_length", 1, self.patch_length, LONGEST_PATCH)
        padded_length = self._padded_length
        self._check_size("padded_length", self.patch_length, padded_length, LONGEST_PATCH)
        self._check_size("validation_size", 1, self.validation_size, 2**31)
        if self.num_train is not None:
            self._check_size("num_train", 1, self.num_train, 2**31)

    def info(self) -> TextInfo:
        """The facts about the stored corpus. Raises `InputError` as `sources.prepare` does."""
        found = sources.prepare(self.stored_name, self.source)
        assert isinstance(found, TextInfo)
        return found

    def load(self) -> TextDataset:
        """The text on the default device; what differs between specs of a corpus is a few numbers.

        Prepares it first if that needs no download. Raises `InputError` when it has to be
        downloaded first, or has too few documents for its validation splits.
        """
        info = self.info()
        ranges = self._ranges({split: info.num_examples[split] for split in SPLITS})
        # Inside a jit too: what is cached and returned must not be a tracer of it.
        with jax.ensure_compile_time_eval():
            count = lambda number: jnp.asarray(number, jnp.int32)
            return TextDataset(
                *_on_device(self.stored_name, self.source, info.fingerprint),
                first_document={split: count(ranges[split][0]) for split in SPLITS},
                num_documents={split: count(ranges[split][1]) for split in SPLITS},
                patch_length=count(self.patch_length),
                padded_length=self._padded_length,
                last_window=self.last_window,
            )

    def tokenizer(self) -> Tokenizer:
        """What made the ids, and makes text of them. Prepares and raises as `load` does."""
        return tokenizer_of(sources.read(self.stored_name, self.source))

    @property
    def stored_name(self) -> str:
        """The name under which `metaopt data` knows the text."""
        embedded = self.source == "embedded"
        corpus = embedded_text.TEXT_STAND_INS.get(self.name, self.name) if embedded else self.name
        return text_sources.joined_name(corpus, self.tokens)

    @property
    def _padded_length(self) -> int:
        return self.patch_length if self.padded_length is None else self.padded_length

    def _check_size(self, field: str, least: int, value: int, most: int) -> None:
        if not least <= value <= most:
            raise InputError(
                f"text {self.name!r}: {field} is {value}; it must be from {least} to {most}"
            )

    def _ranges(self, sizes: dict[str, int]) -> dict[str, tuple[int, int]]:
        """First document, and number of documents, of each split; documents lie as in SPLITS."""
        ends = np.cumsum([sizes[split] for split in SPLITS]).tolist()
        ranges = {s: (e - sizes[s], sizes[s]) for s, e in zip(SPLITS, ends, strict=True)}
        if not sizes["inner_valid"]:
            cut = self.validation_size
            if 2 * cut >= sizes["train"]:
                raise InputError(
                    f"text {self.name!r} has {sizes['train']} documents in train; validation_size "
                    f"is {cut}, twice, and must be at most {(sizes['train'] - 1) // 2}"
                )
            ranges |= {"inner_valid": (0, cut), "outer_valid": (cut, cut)}
            ranges["train"] = (2 * cut, sizes["train"] - 2 * cut)
        if self.num_train is not None:
            first, number = ranges["train"]
            ranges["train"] = (first, min(number, self.num_train))
        return dict.fromkeys(SPLITS, ranges["train"]) if self.just_train else ranges


def names(source: str) -> tuple[str, ...]:
    """The corpora of a source, "embedded" or "tfds". Raises `InputError` for another one."""
    if source not in sources.SOURCES:
        raise unknown_name("data source", source, sources.SOURCES)
    return (
        (*embedded_text.TEXT_STAND_INS, *embedded_text.BUILDERS)
        if source == "embedded"
        else tuple(tfds_text.CORPORA)
    )


@functools.lru_cache(maxsize=8)
def _on_device(
    name: str, source: str, fingerprint: str
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Stream, starts, lengths and labels of all documents; the fingerprint keeps the cache true."""
    del fingerprint
    arrays = sources.read(name, source)
    lengths = np.concatenate([arrays[split]["length"] for split in SPLITS])
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    labels = np.concatenate([arrays[split]["label"] for split in SPLITS])
    stream = np.concatenate([arrays[split]["stream"] for split in SPLITS])
    host = (
        _filled(stream, LONGEST_PATCH, TOKENS_MULTIPLE),
        *(_filled(x.astype(np.int32), 0, DOCUMENTS_MULTIPLE) for x in (starts, lengths, labels)),
    )
    return jax.device_put(host)


def _filled(array: np.ndarray, extra: int, multiple: int) -> np.ndarray:
    """The array and at least `extra` zeros, up to a multiple."""
    return np.pad(array, (0, extra + -(len(array) + extra) % multiple))
