"""TaskSet's corpora from tensorflow-datasets, as plain text; the tokens are made here.

TFDS had them in tokens of its own, but gave its text encoders up. The builders of imdb_reviews and
lm1b still work. What those of amazon_us_reviews and of the old dumps of Wikipedia would download is
no longer there, so for these only a copy that TFDS prepared earlier can be read.
"""

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from taskset.data import tfds, without_tensorflow
from taskset.data.text_corpus import Corpus, Document, corpus_of
from taskset.errors import InputError

MOST_BYTES = 2**28  # of text that a split keeps; enough that hardly a window is drawn twice
READ_CHUNK = 1024  # examples
ARTICLES = 1_000_000  # of Wikipedia that are read
SHORTEST_PARAGRAPH = 6  # bytes
TRAIN_SHARE = 0.7  # of what has no test split: by a hash of its place

# From a prepared builder of TFDS, and "train" or "test".
Reader: TypeAlias = Callable[[Any, str], Iterator[Document]]


class Source(NamedTuple):
    """How a corpus is made from a builder of tensorflow-datasets."""

    builder: str  # with its configuration
    read: Reader
    num_classes: int
    gone: str | None = None  # why it cannot be downloaded


def builder(corpus: str, name: str, download: bool) -> Callable[[], Corpus]:
    """What builds `corpus`, a key of `CORPORA`, in bytes, from TFDS's own files.

    It prepares those first when they are missing, which needs `download`. Raises `InputError`, and
    leaves nothing on disk, when they are missing otherwise, or cannot be downloaded any more. The
    result raises it when the download fails. `name` is what messages call it.
    """
    source = CORPORA[corpus]
    if not tfds.is_prepared(source.builder):
        if source.gone:
            raise InputError(
                f"data set {name!r} cannot be downloaded: {source.gone}; use source=embedded, or "
                f"copy one that tensorflow-datasets prepared to {tfds.data_dir() / source.builder}"
            )
        if not download:
            raise tfds.not_prepared(name)
    return functools.partial(_build, source, name, download)


def _build(source: Source, name: str, download: bool) -> Corpus:
    without_tensorflow.install()
    prepared = _copied(source.builder) if source.gone else _fetched(source.builder, name, download)
    try:
        documents = {split: _kept(source.read(prepared, split)) for split in ("train", "test")}
    except NotImplementedError as error:  # TFDS, of files that only TensorFlow reads
        raise InputError(
            f"data set {name!r}: {prepared.data_path} is not in array_record; convert it where "
            "TensorFlow is installed, by: tfds convert_format"
        ) from error
    return corpus_of(documents, source.num_classes)


def _fetched(builder_name: str, name: str, download: bool) -> Any:
    import tensorflow_datasets

    prepared: Any = tensorflow_datasets.builder(
        builder_name, data_dir=tfds.data_dir(), file_format="array_record"
    )
    if not prepared.data_path.exists():  # an older version of it may
        if not download:
            raise tfds.not_prepared(name)
        tfds.fetch(name, prepared)
    return prepared


def _copied(builder_name: str) -> Any:
    """The newest version of what is there, without the code of its builder."""
    import tensorflow_datasets

    infos = (tfds.data_dir() / builder_name).glob("**/dataset_info.json")
    newest = max(infos, key=lambda path: [int(part) for part in path.parent.name.split(".")])
    return tensorflow_datasets.builder_from_directory(newest.parent)


def _labelled(prepared: Any, split: str) -> Iterator[Document]:
    """Texts with a label or none."""
    for example in _examples(prepared, split):
        yield example["text"], int(example.get("label", 0))


def _wikipedia(prepared: Any, split: str) -> Iterator[Document]:
    """Paragraphs of articles, which are split."""
    articles = itertools.islice(_examples(prepared, "train"), ARTICLES)
    for article in _share_of(split, articles, "token_wikipedia_salt"):
        for line in article["text"].split(b"\n"):
            if len(line.strip()) >= SHORTEST_PARAGRAPH:
                yield line.strip(), 0


def _amazon(prepared: Any, split: str) -> Iterator[Document]:
    """Reviews; the label is the number of stars, less one."""
    for review in _share_of(split, _examples(prepared, "train"), "token_amazon_salt"):
        yield review["data"]["review_body"], int(review["data"]["star_rating"]) - 1


def _share_of(split: str, examples: Iterable[Any], salt: str) -> Iterator[Any]:
    """Those that belong to "train" or "test", by a hash of their place."""
    for place, example in enumerate(examples):
        digest = hashlib.sha256(f"{salt}/{place}".encode()).digest()
        if (int.from_bytes(digest[:8]) / 2**64 < TRAIN_SHARE) == (split == "train"):
            yield example


def _kept(documents: Iterable[Document]) -> list[Document]:
    """Documents that are not empty, up to `MOST_BYTES` of text; in random order.

    For the first ones are what a task with a cap on its training set gets.
    """
    kept, size = [], 0
    for text, label in documents:
        size += len(text)
        if size > MOST_BYTES:
            break
        if text:
            kept.append((text, label))
    return [kept[index] for index in np.random.RandomState(0).permutation(len(kept))]


def _examples(prepared: Any, split: str) -> Iterator[dict[str, Any]]:
    return tfds.examples(prepared.as_data_source(split=split), READ_CHUNK)


def _wikipedia_dump(language: str) -> Source:
    gone = "Wikipedia no longer keeps its dumps of 2019, which it is made from"
    return Source(f"wikipedia/20190301.{language}", _wikipedia, 0, gone)


def _amazon_reviews(category: str) -> Source:
    gone = "Amazon took its reviews offline in 2023"
    return Source(f"amazon_us_reviews/{category}", _amazon, 5, gone)


# By TaskSet's names (https://arxiv.org/abs/2002.11887).
CORPORA: dict[str, Source] = {
    "imdb_reviews": Source("imdb_reviews/plain_text", _labelled, 2),
    "lm1b": Source("lm1b", _labelled, 0),
    **{
        f"tokenized_amazon_reviews/{category}": _amazon_reviews(category)
        for category in ("Books_v1_02", "Camera_v1_00", "Home_v1_00", "Video_v1_00")
    },
    **{
        f"tokenized_wikipedia/20190301.{language}": _wikipedia_dump(language)
        for language in ("en", "hsb", "ja", "ru", "zh")
    },
}
