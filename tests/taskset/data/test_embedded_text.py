"""Embedded text: what is taken from files, how it is split, and that it is always the same."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data import embedded_text, tfds_text
from taskset.data.prepared import fingerprint
from taskset.data.text_corpus import documents_of
from taskset.errors import InputError

SOURCE = '''"""Module."""

# one line only


# A comment
#   of two lines.
class Thing:  # not it
    """A thing of numpy.

    It has two lines.
    """

    def method(self):
        """Of a method."""
        return "a string"


def function(x: str = "a:b"):
    r"""Of a
    function."""
'''

SLOW = ("docstrings", "docstring_kinds", "library_docstrings", "library_source", "library_comments")
BUILDERS = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
    for name in embedded_text.BUILDERS
]


@pytest.fixture
def files(monkeypatch):
    """Forty files in each library, of 30 docstrings, a third of which are in all libraries."""

    def source_files(library):
        for file in range(40):
            parts = []
            for index in range(30):
                where = library if index % 3 else "all"
                words = (
                    f"{where} of {file}, {index}: numpy does what jax.numpy did. " + "Go on. " * 10
                )
                parts.append(f'def function_{index}():\n    """{words}"""')
            yield f"{library}/{file}.py", "\n\n\n".join(parts) + "\n"

    monkeypatch.setattr(embedded_text, "source_files", source_files)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_real_corpus_is_whole_split_without_overlap_and_reproducible(name):
    corpus = embedded_text.BUILDERS[name]()
    seen = set()
    for split in SPLITS:
        texts = documents_of(corpus.splits, split)
        digests = {hashlib.sha256(text).digest() for text in texts}
        assert len(digests) == len(texts) >= 10
        assert not seen & digests
        seen |= digests
        assert all(len(text.decode()) >= embedded_text.SHORTEST for text in texts)
        assert set(corpus.splits[split]["label"]) <= set(range(max(1, corpus.num_classes)))
        balance = np.bincount(corpus.splits[split]["label"])
        if corpus.num_classes in (2, 5):
            assert len(set(balance)) == 1
    assert len(set(corpus.splits["train"]["label"])) == max(1, corpus.num_classes)
    sizes = [len(corpus.splits[split]["length"]) for split in SPLITS]
    assert 0.7 < sizes[0] / sum(sizes) < 0.9
    again = embedded_text.BUILDERS[name]()
    assert fingerprint(again.splits) == fingerprint(corpus.splits)
    for released, stand_in in embedded_text.TEXT_STAND_INS.items():
        if stand_in == name and tfds_text.CORPORA[released].num_classes:
            assert tfds_text.CORPORA[released].num_classes == corpus.num_classes


def test_every_corpus_of_taskset_has_a_stand_in():
    assert set(embedded_text.TEXT_STAND_INS) == set(tfds_text.CORPORA)
    assert set(embedded_text.TEXT_STAND_INS.values()) == set(embedded_text.BUILDERS)


def test_docstrings_comments_and_code_are_told_apart():
    assert list(embedded_text.docstrings_in(SOURCE)) == [
        ("A thing of numpy.\n\nIt has two lines.", False),
        ("Of a method.", False),
        ("Of a\nfunction.", True),
    ]
    assert list(embedded_text.comments_in(SOURCE)) == ["A comment\n  of two lines."]
    code = [part for part in embedded_text.code_in(SOURCE) if part]
    assert code == [
        '"""Module."""\n\n# one line only',
        'class Thing:\n\n    def method(self):\n        return "a string"',
        'def function(x: str = "a:b"):',
    ]


def test_documents_of_a_file_are_in_one_split_and_in_random_order(files):
    corpus = embedded_text.docstrings()
    split_of_file = {}
    for split in SPLITS:
        for text in documents_of(corpus.splits, split):
            library, _, file, *_ = text.decode().replace(",", "").split()
            if library != "all":  # which was kept from the first library that has it
                assert split_of_file.setdefault((library, file), split) == split
    assert len(split_of_file) == 3 * 40
    order = [text.split()[0] for text in documents_of(corpus.splits, "train")]
    assert {b"stdlib", b"numpy", b"scipy", b"all"} == set(order[:40])


def test_what_libraries_share_is_there_once(files):
    corpus = embedded_text.docstrings()
    texts = [text for split in SPLITS for text in documents_of(corpus.splits, split)]
    assert len(texts) == len(set(texts)) == 40 * (10 + 3 * 20)


def test_library_names_are_masked_and_libraries_are_equally_frequent(files):
    corpus = embedded_text.BUILDERS["library_docstrings"]()
    for split in SPLITS:
        assert len(set(np.bincount(corpus.splits[split]["label"], minlength=5))) == 1
        for text in documents_of(corpus.splits, split):
            assert b"lib does what lib.lib did" in text


def test_of_a_hundred_groups_eighty_are_for_training():
    splits = [embedded_text.split_of(f"group {index}") for index in range(10_000)]
    for split, share in zip(SPLITS, (0.8, 0.05, 0.05, 0.1)):
        bound = 4.5 * np.sqrt(10_000 * share * (1 - share))
        assert abs(splits.count(split) - 10_000 * share) < bound


def test_a_library_that_is_missing_or_has_no_source_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs the source of scipy, which is not installed"):
        list(embedded_text.source_files("scipy"))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(InputError, match=r"source of stdlib; .* has no \.py files"):
        list(embedded_text.source_files("stdlib"))


def test_libraries_are_read_and_not_imported():
    program = """
import sys
from taskset.data import embedded_text
names = [name for name, _ in embedded_text.source_files("sklearn")]
assert "sklearn/__init__.py" in names and not any("/tests/" in name for name in names)
assert "sklearn" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
