"""Text by the builders of tensorflow-datasets, without TensorFlow and from this machine."""

import functools
import http.server
import importlib
import io
import tarfile
import threading

import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data import sources, text_data, tfds_text, without_tensorflow
from taskset.data.text_corpus import documents_of
from taskset.data.text_data import TextData
from taskset.errors import InputError

REVIEWS = {
    f"aclImdb/{split}/{kind}/{index}_7.txt": f"A {kind} review of {split}, number {index}: é."
    for split, kinds in (("train", ("neg", "pos", "unsup")), ("test", ("neg", "pos")))
    for kind in kinds
    for index in range(9)
}
TOP = "1-billion-word-language-modeling-benchmark-r13output"
LINES = {
    f"{TOP}/training-monolingual.tokenized.shuffled/news.en-0000{file}-of-00100": "".join(
        f"Sentence {line} of file {file} .\n" for line in range(8)
    )
    for file in (1, 2)
} | {
    f"{TOP}/heldout-monolingual.tokenized.shuffled/news.en.heldout-00000-of-00050": (
        "A held-out sentence .\n\nAnother one .\n"
    )
}


def archive(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Archives in the formats of imdb_reviews and lm1b, from where their builders fetch them."""
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "imdb.tar.gz").write_bytes(archive(REVIEWS))
    (folder / "lm1b.tar.gz").write_bytes(archive(LINES))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name, file in (("imdb_reviews", "imdb"), ("lm1b", "lm1b")):
        module = importlib.import_module(
            f"tensorflow_datasets.datasets.{name}.{name}_dataset_builder"
        )
        url = f"http://127.0.0.1:{server.server_port}/{file}.tar.gz"
        monkeypatch.setattr(module, "_DOWNLOAD_URL", url)
        monkeypatch.setattr(module.Builder, "url_infos", {})
    yield
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def stored(name, split):
    arrays = sources.read(name, "tfds")
    return set(zip(documents_of(arrays, split), arrays[split]["label"].tolist()))


def test_reviews_are_downloaded_prepared_and_labelled(data_dir, served):
    info = sources.prepare("imdb_reviews/bytes", "tfds", download=True)
    assert dict(info.num_examples) == {"train": 18, "inner_valid": 0, "outer_valid": 0, "test": 18}
    assert info.num_classes == 2
    for split in ("train", "test"):
        assert stored("imdb_reviews/bytes", split) == {
            (text.encode(), int("/pos/" in name))
            for name, text in REVIEWS.items()
            if f"/{split}/" in name and "unsup" not in name
        }

    # TFDS's own files suffice for the subwords, without the network
    data = TextData("imdb_reviews", "tfds", tokens="subwords", patch_length=8, validation_size=4)
    assert stored("imdb_reviews/subwords8k", "test") == stored("imdb_reviews/bytes", "test")
    dataset = data.load()
    assert {s: int(dataset.num_documents[s]) for s in SPLITS} == {
        "train": 10,
        "inner_valid": 4,
        "outer_valid": 4,
        "test": 18,
    }
    text_data._on_device.cache_clear()


def test_sentences_are_downloaded_extracted_and_prepared(data_dir, served):
    sources.prepare("lm1b/bytes", "tfds", download=True)
    lines = "".join(text for name, text in LINES.items() if "training" in name).splitlines()
    assert stored("lm1b/bytes", "train") == {(line.encode(), 0) for line in lines}
    held_out = {(b"A held-out sentence .", 0), (b"Another one .", 0)}  # without the empty line
    assert stored("lm1b/bytes", "test") == held_out


def write_prepared(data_dir, name, config, features, examples):
    """A data set that TFDS prepared, as a user may have it from before its source was gone."""
    import tensorflow_datasets as tfds

    without_tensorflow.install()
    methods = {
        "VERSION": tfds.core.Version("1.0.0"),
        "BUILDER_CONFIGS": [tfds.core.BuilderConfig(name=config)],
        "name": name,
        "_info": lambda self: tfds.core.DatasetInfo(builder=self, features=features(tfds)),
        "_split_generators": lambda self, downloads: {"train": self._generate_examples()},
        "_generate_examples": lambda self: enumerate(examples),
        "url_infos": {},
    }
    with tfds.core.registered.skip_registration():
        made = type("Made", (tfds.core.GeneratorBasedBuilder,), methods)
        builder = made(data_dir=data_dir / "tensorflow_datasets", file_format="array_record")
        tfds.disable_progress_bar()
        builder.download_and_prepare()


def test_articles_that_were_prepared_earlier_are_split_into_paragraphs(data_dir, capsys):
    articles = [
        {"title": f"{i}", "text": f"First of {i}, ž.\n  Second of {i}. \n\nshort\n"}
        for i in range(60)
    ]
    features = lambda tfds: tfds.features.FeaturesDict(
        {"title": tfds.features.Text(), "text": tfds.features.Text()}
    )
    write_prepared(data_dir, "wikipedia", "20190301.hsb", features, articles)
    name = "tokenized_wikipedia/20190301.hsb_bytes"
    num = sources.prepare(name, "tfds").num_examples
    train, test = stored(name, "train"), stored(name, "test")
    assert train | test == {
        (text.format(i).encode(), 0)
        for text in ("First of {}, ž.", "Second of {}.")
        for i in range(60)
    }
    assert (num["train"], num["test"]) == (len(train), len(test))
    assert len(train) + len(test) == 120
    assert abs(len(train) / 2 - 60 * 0.7) < 4 * np.sqrt(60 * 0.7 * 0.3)
    article = lambda text: text.rstrip(b".").replace(b",", b"").split()[2]
    assert not {article(text) for text, _ in train} & {article(text) for text, _ in test}


def test_reviews_that_were_prepared_earlier_are_labelled_by_stars(data_dir, capsys):
    reviews = [
        {"data": {"review_body": f"Review {i}", "star_rating": i % 5 + 1}} for i in range(40)
    ]
    features = lambda tfds: tfds.features.FeaturesDict(
        {"data": {"review_body": tfds.features.Text(), "star_rating": np.int32}}
    )
    write_prepared(data_dir, "amazon_us_reviews", "Books_v1_02", features, reviews)
    name = "tokenized_amazon_reviews/Books_v1_02_bytes"
    assert sources.prepare(name, "tfds").num_classes == 5
    found = stored(name, "train") | stored(name, "test")
    assert found == {(f"Review {i}".encode(), i % 5) for i in range(40)}


def test_text_over_the_limit_is_left_out(monkeypatch):
    monkeypatch.setattr(tfds_text, "MOST_BYTES", 10)
    kept = tfds_text._kept(iter([(b"four", 0), (b"", 1), (b"eleven", 2), (b"x", 3)]))
    assert sorted(kept) == [(b"eleven", 2), (b"four", 0)]


@pytest.mark.parametrize(
    ("name", "download", "message"),
    [
        ("lm1b/bytes", False, "is not prepared; run: metaopt data prepare lm1b/bytes --download"),
        (
            "tokenized_amazon_reviews/Home_v1_00_bytes",
            True,
            "cannot be downloaded: Amazon took its reviews offline in 2023; use source=embedded",
        ),
        (
            "tokenized_wikipedia/20190301.zh_subwords8k",
            True,
            "cannot be downloaded: Wikipedia no longer keeps its dumps of 2019",
        ),
    ],
)
def test_what_is_missing_says_why_in_one_line_and_writes_nothing(data_dir, name, download, message):
    with pytest.raises(InputError) as caught:
        sources.prepare(name, "tfds", download=download)
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(data_dir.iterdir())


def test_files_that_only_tensorflow_reads_are_one_line(data_dir):
    folder = data_dir / "tensorflow_datasets" / "wikipedia" / "20190301.hsb" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(
        '{"fileFormat": "tfrecord", "name": "wikipedia", "version": "1.0.0", "splits": '
        '[{"name": "train", "shardLengths": ["1"], "numBytes": "9", '
        '"filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"}]}'
    )
    (folder / "features.json").write_text(
        '{"pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",'
        '"featuresDict": {"features": {"text": {"pythonClassName": '
        '"tensorflow_datasets.core.features.text_feature.Text", "text": {}}}}}'
    )
    with pytest.raises(InputError, match="is not in array_record"):
        sources.prepare("tokenized_wikipedia/20190301.hsb_bytes", "tfds")
