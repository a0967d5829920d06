"""tensorflow-datasets' own mnist builder, without TensorFlow, from a server on this machine."""

import functools
import gzip
import http.server
import importlib.util
import threading

import numpy as np
import pytest

from taskset.data import sources, tfds
from taskset.errors import InputError

NUM_TRAIN, NUM_TEST = 240, 30


def test_four_splits_follow_the_rule_of_taskset():
    assert tfds.four_splits({"train": 60_000, "test": 10_000}) == {
        "train": "train[10000:]",
        "inner_valid": "train[0:5000]",
        "outer_valid": "train[5000:10000]",
        "test": "test",
    }
    assert tfds.four_splits({"train": 1200, "validation": 10}) == {
        "train": "train[200:]",
        "inner_valid": "train[0:100]",
        "outer_valid": "train[100:200]",
        "test": "validation",
    }
    assert tfds.four_splits({"train": 1200, "validation": 10, "test": 20, "extra": 5}) == {
        "train": "train[100:]",
        "inner_valid": "train[0:100]",
        "outer_valid": "validation",
        "test": "test",
    }
    assert tfds.four_splits({"train": 1200}) == {
        "train": "train[300:]",
        "inner_valid": "train[0:100]",
        "outer_valid": "train[100:200]",
        "test": "train[200:300]",
    }
    given = {"train": 9, "inner_valid": 1, "outer_valid": 1, "test": 1}
    assert tfds.four_splits(given) == {split: split for split in given}


def test_a_host_without_address_is_refused_before_tfds_tries_for_minutes(data_dir, monkeypatch):
    monkeypatch.setattr(tfds, "_resolves", lambda host: False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(InputError, match=r"no network, storage\.googleapis\.com has no address"):
        sources.prepare("mnist", "tfds", download=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [("lfw", "its label is not a class"), ("smallnorb", "it needs image and label")],
)
def test_data_that_is_not_image_classification_is_refused(data_dir, name, message):
    with pytest.raises(InputError, match=message):
        sources.prepare(name, "tfds", download=True)


@pytest.fixture
def mnist_server(tmp_path_factory, monkeypatch):
    """Serves random files in the format of mnist; the builder is told to expect so few of them."""
    from tensorflow_datasets.image_classification import mnist

    folder = tmp_path_factory.mktemp("www")
    rng = np.random.RandomState(0)
    raw = {}
    for prefix, num in (("train", NUM_TRAIN), ("t10k", NUM_TEST)):
        images = rng.randint(0, 256, (num, 28 * 28), np.uint8)
        labels = rng.randint(0, 10, num).astype(np.uint8)
        raw[prefix] = images, labels
        for file, header, array in (("images-idx3", 16, images), ("labels-idx1", 8, labels)):
            with gzip.open(folder / f"{prefix}-{file}-ubyte.gz", "wb") as stream:
                stream.write(bytes(header) + array.tobytes())

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(mnist.MNIST, "URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(mnist.MNIST, "url_infos", {})
    monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", NUM_TRAIN)
    monkeypatch.setattr(mnist, "_TEST_EXAMPLES", NUM_TEST)
    yield raw
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def test_mnist_is_downloaded_prepared_and_split(data_dir, mnist_server):
    info = sources.prepare("mnist", "tfds", download=True)
    assert (info.image_shape, info.num_classes) == ((28, 28, 1), 10)
    assert info.num_examples == {"train": 200, "inner_valid": 20, "outer_valid": 20, "test": 30}

    data = sources.load("mnist", "tfds")
    for prefix, splits in (("train", ("train", "inner_valid", "outer_valid")), ("t10k", ("test",))):
        images, labels = mnist_server[prefix]
        served = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
        loaded = [data.whole(split) for split in splits]
        got = {
            np.asarray(image).tobytes(): int(label)
            for batch in loaded
            for image, label in zip(
                np.asarray(batch["image"]), np.asarray(batch["label"]), strict=True
            )
        }
        assert got == served

    # TFDS's own files suffice from now on, without the network
    (data_dir / "v2" / "tfds" / "mnist.npz").unlink()
    assert sources.prepare("mnist", "tfds") == info


def test_a_file_that_is_missing_on_the_server_is_one_line(data_dir, mnist_server, monkeypatch):
    from tensorflow_datasets.image_classification import mnist

    monkeypatch.setattr(mnist.MNIST, "URL", mnist.MNIST.URL + "elsewhere/")
    with pytest.raises(InputError, match="data set 'mnist' was not prepared: ") as caught:
        sources.prepare("mnist", "tfds", download=True)
    assert "\n" not in str(caught.value)
    assert not list((data_dir / "v2").rglob("*.npz"))


def test_the_shim_leaves_no_tensorflow_behind(data_dir):
    import sys

    from taskset.data import without_tensorflow

    without_tensorflow.install()
    if importlib.util.find_spec("tensorflow") is None:
        assert "tensorflow" not in sys.modules
    from tensorflow_datasets.core.utils.lazy_imports_utils import tensorflow

    assert tensorflow.io.gfile.exists(data_dir)
