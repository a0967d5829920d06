"""Real text that is on every machine with Python and this package's own dependencies.

    pydoc_topics        the reference manual of Python, as its help shows it
    unicode_names       names of characters, a few neighbours each; class: category, 11
    docstrings          of the standard library, NumPy and SciPy
    docstring_kinds     of these, scikit-learn and JAX; class: of a class or method, or a function
    stdlib_source       Python source code of the standard library
    stdlib_comments     comments in it
    doctests            examples in the docstrings of NumPy, SciPy and scikit-learn
    library_docstrings  docstrings, code or comments of five libraries whose names are masked;
    library_source      class: the library
    library_comments

Files are read, never imported. Another version of a library is another text, and so another
fingerprint. No document is in two splits, and neighbours are in one: what comes from one file, for
library_* from one stretch of a file.
"""

import functools
import hashlib
import importlib.util
import inspect
import itertools
import pathlib
import re
import sysconfig
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from taskset.base import SPLITS, Split
from taskset.data.text_corpus import Corpus, Document, corpus_of
from taskset.errors import InputError

LIBRARIES = ("stdlib", "numpy", "scipy", "sklearn", "jax")
LIBRARY_NAMES = re.compile(
    r"\b(?:numpy|np|scipy|sklearn|scikit[- ]learn|jaxlib|jax|jnp|lax|pallas|xla|c?python)\b", re.I
)
LEFT_OUT = {
    *("test", "tests", "site-packages", "dist-packages", "pydoc_data", "__pycache__"),
    *("idlelib", "tkinter", "distutils", "lib2to3", "ensurepip", "turtledemo"),  # not everywhere
}

SHORTEST = 80  # characters of a document
LONGEST_CODE = 4000
STRETCH = 16  # documents; so fine, because few files hold most of the text of a library

DOCSTRING = r':[ \t]*(?:#[^\n]*)?\n\s*[rRuU]?"""(?P<docstring>.*?)"""'
HEADER_OR_DOCSTRING = re.compile(
    r"^(?P<indent>[ \t]*)(?P<header>class|def|async def)\b|" + DOCSTRING, re.M | re.S
)
COMMENT = re.compile(r"(?:^[ \t]*#[^\n]*\n){2,}", re.M)
COMMENT_SIGN = re.compile(r"^[ \t]*#+ ?", re.M)
DOCTEST = re.compile(r"(?:^[ \t]*>>>[^\n]*\n(?:[ \t]*\S[^\n]*\n)*\n?)+", re.M)

# Those with enough characters; without those whose names are numbered.
CATEGORIES = ("Ll", "Lm", "Lo", "Lu", "Mc", "Mn", "Nd", "No", "Po", "Sm", "So")
NUMBERED = (
    *("CJK UNIFIED", "CJK COMPAT", "HANGUL SYLLABLE", "TANGUT IDEO", "NUSHU CHAR", "KHITAN SMALL"),
    *("YI SYLLABLE", "EGYPTIAN", "ANATOLIAN", "CUNEIFORM"),
)
NEIGHBOURS = 8  # characters in a document of unicode_names
PARAGRAPHS = 8  # in a document of pydoc_topics


class Found(NamedTuple):
    """A document before it has a split."""

    group: str  # what is split as a whole
    text: str
    label: int = 0


def pydoc_topics() -> Corpus:
    """The manual in pieces of a few paragraphs, each paragraph once."""
    from pydoc_data.topics import topics

    seen: set[str] = set()
    found = []
    for topic in sorted(topics):
        paragraphs = [p for p in re.split(r"\n\s*\n", topics[topic]) if p not in seen]
        seen.update(paragraphs)
        for start in range(0, len(paragraphs), PARAGRAPHS):
            text = "\n\n".join(dict.fromkeys(paragraphs[start : start + PARAGRAPHS]))
            found.append(Found(f"{topic}/{start}", text))
    return _in_splits(found)


def unicode_names() -> Corpus:
    """Lower-case names of characters, one per line; neighbours of one category to a document."""
    characters = [
        (unicodedata.category(character), name.lower())
        for character in map(chr, range(0x110000))
        if (name := unicodedata.name(character, "")) and not name.startswith(NUMBERED)
    ]
    found = []
    for category, run in itertools.groupby(characters, key=lambda c: c[0]):
        names = [name for _, name in run]
        if category in CATEGORIES:
            label = CATEGORIES.index(category)
            for start in range(0, len(names), NEIGHBOURS):
                text = "\n".join(names[start : start + NEIGHBOURS])
                found.append(Found(text, text, label))
    return _in_splits(found, len(CATEGORIES))


def docstrings() -> Corpus:
    """Docstrings of three libraries."""
    return _in_splits(
        Found(name, text)
        for library in ("stdlib", "numpy", "scipy")
        for name, source in source_files(library)
        for text, _ in docstrings_in(source)
    )


def docstring_kinds() -> Corpus:
    """Docstrings of five libraries: 0, of classes and methods, and 1, of functions; as many."""
    found = (
        Found(name, text, int(is_function))
        for library in LIBRARIES
        for name, source in source_files(library)
        for text, is_function in docstrings_in(source)
    )
    return _balanced(found, 2)


def stdlib_source() -> Corpus:
    """Top-level parts of files of code, with their docstrings and comments."""
    return _in_splits(
        Found(name, text)
        for name, source in source_files("stdlib")
        for text in _top_level_parts(source)
    )


def stdlib_comments() -> Corpus:
    """Comments of at least two lines."""
    return _in_splits(
        Found(name, text) for name, source in source_files("stdlib") for text in comments_in(source)
    )


def doctests() -> Corpus:
    """Interactive examples with what they print."""
    return _in_splits(
        Found(name, inspect.cleandoc(match[0]))
        for library in ("numpy", "scipy", "sklearn")
        for name, source in source_files(library)
        for match in DOCTEST.finditer(source)
    )


def library_texts(texts_in: Callable[[str], Iterable[str]]) -> Corpus:
    """What `texts_in` finds in the files of five libraries, as much of each; label: the library."""
    found = (
        Found(f"{name}/{index // STRETCH}", LIBRARY_NAMES.sub("lib", text), label)
        for label, library in enumerate(LIBRARIES)
        for name, source in source_files(library)
        for index, text in enumerate(texts_in(source))
    )
    return _balanced(found, len(LIBRARIES))


def source_files(library: str) -> Iterator[tuple[str, str]]:
    """Names and contents of a library's Python files, without tests, in the order of their names.

    Raises `InputError` when it is not installed, or installed without its source.
    """
    if library == "stdlib":
        folder = pathlib.Path(sysconfig.get_path("stdlib"))
    else:
        spec = importlib.util.find_spec(library)
        if spec is None or spec.origin is None:
            raise InputError(f"embedded text needs the source of {library}, which is not installed")
        folder = pathlib.Path(spec.origin).parent
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*.py")
        if not LEFT_OUT & set(path.relative_to(folder).parts)
    }
    if not files:
        raise InputError(f"embedded text needs the source of {library}; {folder} has no .py files")
    for name in sorted(files):
        yield f"{library}/{name}", files[name].read_text("utf-8", errors="replace")


def docstrings_in(source: str) -> Iterator[tuple[str, bool]]:
    """The docstrings of classes and functions, and whether each is that of a function.

    By regular expression: ten times faster than a parser, and text is all that is wanted.
    """
    is_function = False
    for match in HEADER_OR_DOCSTRING.finditer(source):
        if match["header"]:
            is_function = match["header"] != "class" and not match["indent"]
        else:
            yield inspect.cleandoc(match["docstring"]), is_function


def comments_in(source: str) -> Iterator[str]:
    """Comments of at least two lines, without their signs."""
    for match in COMMENT.finditer(source):
        yield COMMENT_SIGN.sub("", match[0]).strip()


def code_in(source: str) -> Iterator[str]:
    """Top-level parts of a file, without docstrings and longer comments."""
    return _top_level_parts(COMMENT.sub("", re.sub(DOCSTRING, ":", source, flags=re.S)))


def split_of(group: str) -> Split:
    """Of 100 groups, about 80 are for train, 5 for each validation split, 10 for test."""
    fraction = _fraction(group)
    if fraction < 0.8:
        return "train"
    return "inner_valid" if fraction < 0.85 else "outer_valid" if fraction < 0.9 else "test"


BUILDERS: dict[str, Callable[[], Corpus]] = {
    "pydoc_topics": pydoc_topics,
    "unicode_names": unicode_names,
    "docstrings": docstrings,
    "docstring_kinds": docstring_kinds,
    "stdlib_source": stdlib_source,
    "stdlib_comments": stdlib_comments,
    "doctests": doctests,
    "library_docstrings": functools.partial(
        library_texts, lambda source: (text for text, _ in docstrings_in(source))
    ),
    "library_source": functools.partial(library_texts, code_in),
    "library_comments": functools.partial(library_texts, comments_in),
}

# What source=embedded gives for the names of TaskSet (https://arxiv.org/abs/2002.11887): text of
# another kind, but as real, with as many classes, and another for each name where that can be.
TEXT_STAND_INS = {
    "imdb_reviews": "docstring_kinds",
    "lm1b": "docstrings",
    "tokenized_amazon_reviews/Books_v1_02": "library_docstrings",
    "tokenized_amazon_reviews/Camera_v1_00": "library_source",
    "tokenized_amazon_reviews/Home_v1_00": "library_comments",
    "tokenized_amazon_reviews/Video_v1_00": "library_docstrings",
    "tokenized_wikipedia/20190301.en": "pydoc_topics",
    "tokenized_wikipedia/20190301.hsb": "doctests",
    "tokenized_wikipedia/20190301.ja": "stdlib_comments",
    "tokenized_wikipedia/20190301.ru": "stdlib_source",
    "tokenized_wikipedia/20190301.zh": "unicode_names",
}


def _top_level_parts(source: str) -> Iterator[str]:
    for part in re.split(r"\n\n\n+", source):
        if len(part) <= LONGEST_CODE:
            yield part.strip("\n")


def _in_splits(found: Iterable[Found], num_classes: int = 0) -> Corpus:
    return corpus_of(_documents(found), num_classes)


def _balanced(found: Iterable[Found], num_classes: int) -> Corpus:
    """As many documents of each class, within each split."""
    documents = _documents(found)
    for split, members in documents.items():
        by_label = [[d for d in members if d[1] == label] for label in range(num_classes)]
        kept = set(itertools.chain(*zip(*by_label, strict=False)))  # zip ends with the shortest
        documents[split] = [d for d in members if d in kept]
    return corpus_of(documents, num_classes)


def _documents(found: Iterable[Found]) -> dict[str, list[Document]]:
    """Documents that are long enough, each once, by split; in the order of a hash.

    So the first of them, which is what a task with a cap on its training set gets, are of all
    files.
    """
    documents: dict[str, dict[bytes, Document]] = {split: {} for split in SPLITS}
    seen: set[bytes] = set()
    for group, text, label in found:
        encoded = text.encode("utf-8", errors="replace")
        digest = hashlib.sha256(encoded).digest()
        if len(text) >= SHORTEST and digest not in seen:
            seen.add(digest)
            documents[split_of(group)][digest] = (encoded, label)
    return {
        split: [by_digest[d] for d in sorted(by_digest)] for split, by_digest in documents.items()
    }


def _fraction(text: str) -> float:
    """A hash of `text`, from 0 to 1."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
