"""Sets of text by name: a corpus and its tokens, as in "docstrings/bytes" and "lm1b/subwords8k".

Names are joined as in TaskSet (https://arxiv.org/abs/2002.11887): a corpus with a slash in its name
takes an underscore, as in "tokenized_wikipedia/20190301.en_bytes".
"""

import functools
from collections.abc import Callable
from typing import Literal, TypeAlias

from taskset.data import embedded_text, tfds_text
from taskset.data.prepared import Builder
from taskset.data.text_corpus import Corpus, in_subwords
from taskset.errors import InputError

Tokens: TypeAlias = Literal["bytes", "subwords"]
SUFFIXES: dict[Tokens, str] = {"bytes": "bytes", "subwords": "subwords8k"}


def joined_name(corpus: str, tokens: Tokens) -> str:
    """The name of a corpus in these tokens."""
    return f"{corpus}{'_' if '/' in corpus else '/'}{SUFFIXES[tokens]}"


def split_name(name: str) -> tuple[str, Tokens]:
    """The corpus and the tokens of a name. Raises `InputError` when it ends in no tokens."""
    for tokens, suffix in SUFFIXES.items():
        for separator in "/_":
            if name.endswith(separator + suffix):
                return name.removesuffix(separator + suffix), tokens
    raise InputError(
        f"set of text {name!r} has no tokens; its name must end in bytes or subwords8k"
    )


def _subwords(build: Callable[[], Corpus]) -> Corpus:
    return in_subwords(build())


def _tfds(corpus: str, tokens: Tokens, name: str, download: bool) -> Builder:
    build = tfds_text.builder(corpus, name, download)
    return build if tokens == "bytes" else functools.partial(_subwords, build)


EMBEDDED: dict[str, Builder] = {
    joined_name(corpus, tokens): build if tokens == "bytes" else functools.partial(_subwords, build)
    for corpus, build in embedded_text.BUILDERS.items()
    for tokens in SUFFIXES
}
TFDS: dict[str, Callable[[str, bool], Builder]] = {
    joined_name(corpus, tokens): functools.partial(_tfds, corpus, tokens)
    for corpus in tfds_text.CORPORA
    for tokens in SUFFIXES
}
