"""Preparing and loading: once, whole, locked, and never from the network unless asked."""

import socket
import subprocess
import sys

import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data import embedded, sources, store, text_sources
from taskset.data.images import LabelledImages
from taskset.errors import InputError


def tiny_images():
    splits = {
        split: {
            "image": np.full((3, 4), index, np.uint8),
            "label": np.arange(3, dtype=np.int32),
        }
        for index, split in enumerate(SPLITS)
    }
    return LabelledImages(splits, (2, 2, 1), 3)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def tiny(data_dir, monkeypatch):
    builds = []
    monkeypatch.setitem(embedded.BUILDERS, "tiny", lambda: builds.append(1) or tiny_images())
    return builds


def test_loads_what_the_builder_made_and_builds_once(tiny):
    data = sources.load("tiny", "embedded")
    for split in SPLITS:
        whole = data.whole(split)
        np.testing.assert_array_equal(whole["image"], tiny_images().splits[split]["image"])
        np.testing.assert_array_equal(whole["label"], np.arange(3))
    sources.load.cache_clear()
    sources.load("tiny", "embedded")
    assert len(tiny) == 1


def test_info_needs_no_arrays(tiny):
    info = sources.info("tiny", "embedded")
    assert info == tiny_images().describe("tiny", "embedded")
    assert (info.num_features, info.num_classes) == (4, 3)
    assert info.num_examples == dict.fromkeys(SPLITS, 3)


def test_the_fingerprint_changes_with_any_pixel_label_or_split():
    seen = {tiny_images().describe("tiny", "embedded").fingerprint}
    for split in SPLITS:
        for name in ("image", "label"):
            images = tiny_images()
            images.splits[split][name].flat[0] += 1
            seen.add(images.describe("tiny", "embedded").fingerprint)
    assert len(seen) == 1 + 2 * len(SPLITS)


def test_a_full_disk_leaves_nothing_behind(tiny, data_dir, monkeypatch):
    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(InputError, match=r"cannot write .*No space left.*METAOPT_DATA_DIR"):
        sources.prepare("tiny")
    assert [path.suffix for path in data_dir.rglob("*") if path.is_file()] == [".lock"]


def test_a_folder_that_cannot_be_made_is_one_line(tiny, data_dir, monkeypatch):
    (data_dir / "file").write_text("")
    monkeypatch.setenv("METAOPT_DATA_DIR", str(data_dir / "file"))
    with pytest.raises(InputError, match="set METAOPT_DATA_DIR"):
        sources.prepare("tiny")


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_damaged_file_is_refused_by_name(tiny, keep):
    sources.prepare("tiny")
    path = store.path_of("tiny", "embedded")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with pytest.raises(InputError, match=r"tiny.npz is damaged; delete it"):
        sources.load("tiny", "embedded")


def test_an_edited_file_is_refused(tiny):
    sources.prepare("tiny")
    path = store.path_of("tiny", "embedded")
    content = path.read_bytes()
    assert content.count(b"\3" * 12) == 1  # the images of the last split
    path.write_bytes(content.replace(b"\3" * 12, b"\4" * 12))
    with pytest.raises(InputError, match="is damaged"):
        sources.load("tiny", "embedded")


def test_a_large_file_is_read_as_it_is_and_verified_when_asked(tiny, monkeypatch):
    monkeypatch.setattr(store, "ALWAYS_VERIFIED", 0)
    sources.prepare("tiny")
    assert sources.verify("tiny").fingerprint == sources.info("tiny").fingerprint
    path = store.path_of("tiny", "embedded")
    path.write_bytes(path.read_bytes().replace(b"\3" * 12, b"\4" * 12))
    assert sources.read("tiny")["test"]["image"].max() == 4
    with pytest.raises(InputError, match="is damaged"):
        sources.verify("tiny")


def test_a_damaged_file_is_rebuilt_on_request(tiny):
    expected = sources.prepare("tiny")
    store.path_of("tiny", "embedded").write_bytes(b"")
    with pytest.raises(InputError, match="prepare tiny --source embedded --rebuild"):
        sources.prepare("tiny")
    assert sources.prepare("tiny", rebuild=True) == expected
    assert sources.verify("tiny") == expected
    assert len(tiny) == 2


def test_a_rebuilt_data_set_replaces_what_was_remembered(tiny, monkeypatch):
    before = sources.load("tiny"), sources.info("tiny")
    other = tiny_images()._replace(num_classes=4)
    other.splits["train"]["image"][:] = 7
    monkeypatch.setitem(embedded.BUILDERS, "tiny", lambda: other)
    sources.prepare("tiny", rebuild=True)
    assert (before[1].num_classes, sources.info("tiny").num_classes) == (3, 4)
    assert (before[0].whole("train")["image"] == 0).all()  # what is in use stays as it was
    assert (sources.load("tiny").whole("train")["image"] == 7).all()


def test_arrays_are_as_they_were_written_and_read_only(data_dir, monkeypatch):
    rng = np.random.RandomState(0)
    images = tiny_images()
    for split, num in zip(SPLITS, (1, 0, 5, 1000)):
        images.splits[split]["image"] = rng.randint(0, 256, (num, 4), np.uint8)
        images.splits[split]["label"] = rng.randint(0, 3, num).astype(np.int32)
    monkeypatch.setitem(embedded.BUILDERS, "tiny", lambda: images)
    splits = sources.read("tiny")
    for split in SPLITS:
        for name, array in splits[split].items():
            np.testing.assert_array_equal(array, images.splits[split][name])
            assert array.dtype == images.splits[split][name].dtype
            assert array.flags.aligned and array.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        splits["train"]["image"][0, 0] = 1


def test_a_scratch_array_is_on_disk_without_a_name(data_dir):
    scratch = store.scratch((1000, 7), np.uint8)
    scratch[:] = 3
    assert (scratch.shape, scratch.dtype, int(scratch.sum())) == ((1000, 7), np.uint8, 21_000)
    assert not list(data_dir.iterdir())


def test_no_room_for_a_scratch_array_is_one_line(data_dir, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(InputError, match="No space left"):
        store.scratch((1000,), np.uint8)


def test_names_are_by_kind(monkeypatch):
    monkeypatch.setitem(text_sources.EMBEDDED, "sentences", lambda: None)
    assert {"digits", "sentences"} <= set(sources.names("embedded"))
    assert "sentences" in sources.names("embedded", "text")
    assert "sentences" not in sources.names("embedded", "image")
    with pytest.raises(InputError, match="'sentences'"):
        sources.check("sentences", "embedded")
    sources.check("sentences", "embedded", "text")
    with pytest.raises(InputError, match="'digits'"):
        sources.check("digits", "embedded", "text")


def test_processes_that_start_together_build_once(data_dir):
    program = f"""
import sys, time
sys.path.insert(0, {str(__import__("pathlib").Path(__file__).parent)!r})
from test_sources import tiny_images
from taskset.data import embedded, sources

def build():
    with open({str(data_dir / "builds")!r}, "a") as file:
        file.write("build\\n")
    time.sleep(1)  # long enough for the others to find the lock taken
    return tiny_images()

embedded.BUILDERS["tiny"] = build
print(sources.prepare("tiny").fingerprint)
"""
    running = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0]
    assert set(outputs) == {tiny_images().describe("tiny", "embedded").fingerprint + "\n"}
    assert (data_dir / "builds").read_text() == "build\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", "data set 'mnist' is not prepared; run: metaopt data prepare mnist --download"),
        ("emnist/letters", "run: metaopt data prepare emnist/letters --download"),
        ("mnits", "unknown tensorflow-datasets builder 'mnits'; did you mean 'mnist'?"),
        ("emnist/leters", "unknown configuration of emnist 'leters'; did you mean 'letters'?"),
    ],
)
def test_unprepared_tfds_data_says_what_to_do_and_writes_nothing(
    data_dir, no_network, name, message
):
    with pytest.raises(InputError) as caught:
        sources.load(name, "tfds")
    assert message in str(caught.value)
    assert not list(data_dir.iterdir())


def test_embedded_data_needs_no_network(data_dir, no_network):
    assert sources.prepare("digits").num_examples["train"] == 1260
