"""Exports that are damaged, foreign or made to harm: one clear line, at little cost."""

import io
import json
import pickle
import resource
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from bare_exports import bare_export

import metaopt
from metaopt import export_files
from metaopt.learned_optimizers import FactoredMLP, HyperController
from metaopt.torch import reading
from taskset.errors import InputError

CONFIG, MODEL, GOLDEN = "config.json", "model.safetensors", "golden.npz"
NUM_FUZZED = 10_000
MAX_GROWTH = 200 * 2**20  # bytes of memory


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    return bare_export(folder / "export", FactoredMLP())


@pytest.fixture
def copy(good, tmp_path):
    (tmp_path / "copy").mkdir()
    for name in (CONFIG, MODEL, GOLDEN):
        (tmp_path / "copy" / name).write_bytes((good / name).read_bytes())
    return tmp_path / "copy"


def by_jax(path):
    return metaopt.load(path, check=False)


LOADERS = {"jax": by_jax, "torch": reading.read}


def signed(path, **fields):
    """Replaces fields of the configuration, and gives all files the checksums they should have."""
    config = json.loads((path / CONFIG).read_text()) | fields
    contents = {name: (path / name).read_bytes() for name in (MODEL, GOLDEN)}
    (path / CONFIG).write_text(json.dumps(export_files.signed(config, contents)))


def npz(compression=zipfile.ZIP_STORED, **entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def claims(shape):
    """The header of an array of float32, without the array."""
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def tensors(header, content=b"", length=None):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
FAR = ONE | {"data_offsets": [0, 2**40]}
VAST = ONE | {"shape": [2**62, 4]}
BOMB = npz(zipfile.ZIP_DEFLATED, **{"x.npy": bytes(2**26)})
CLIMBING = npz(**{"../../x.npy": npy(np.zeros(2, np.float32))})
SCRIPT = npz(**{"x.sh": b"rm -rf /"})
NAN = safetensors.numpy.save({"x": np.full(2, np.nan, np.float32)})
WIDE = safetensors.numpy.save({"x": np.zeros(2, np.float64)})
FOREIGN = {
    "a pickle": (MODEL, pickle.dumps({"x": 1}), "model.safetensors is damaged"),
    "a header longer than the file": (MODEL, tensors({}, length=2**40), "is damaged"),
    "a header of 2^63 bytes": (MODEL, tensors({}, length=2**63), "is damaged"),
    "an array beyond the file": (MODEL, tensors({"x": FAR}), "damaged"),
    "more elements than bytes": (MODEL, tensors({"x": VAST}, b"0000"), "damaged"),
    "no bytes at all": (MODEL, b"", "is damaged"),
    "NaN weights": (MODEL, NAN, "'x' has values that are not finite"),
    "float64 weights": (MODEL, WIDE, "an array is of F64, not F32"),
    "a name that climbs": (MODEL, tensors({"../../x": ONE}, b"0000"), "unknown '../../x'|lack"),
    "a zip bomb": (GOLDEN, BOMB, "it is compressed"),
    "an entry that climbs": (GOLDEN, CLIMBING, "no reference"),
    "an entry that is no array": (GOLDEN, SCRIPT, "'x.sh', which is no array"),
    "an array of 4 TB": (GOLDEN, npz(**{"x.npy": claims((2**40,))}), "an array claims to be"),
    "objects": (
        GOLDEN,
        npz(**{"x.npy": npy(np.asarray([{}], object), allow_pickle=True)}),
        "is damaged",
    ),
    "a golden pickle": (GOLDEN, pickle.dumps({"x": 1}), "golden.npz is damaged"),
    "nesting": (CONFIG, b"[" * 100_000, "config.json is damaged: it is no JSON"),
    "a number of many digits": (CONFIG, b"9" * 100_000, "config.json is damaged"),
    "no UTF-8": (CONFIG, b'{"kind": "\xff\xfe"}', "config.json is damaged"),
    "NaN in JSON": (CONFIG, b'{"format_version": NaN}', "config.json is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_refused_in_one_line(name, loader, copy):
    file, content, message = FOREIGN[name]
    (copy / file).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        LOADERS[loader](copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("file", [CONFIG, MODEL, GOLDEN])
def test_files_larger_than_their_limit_are_not_read(file, loader, copy):
    with (copy / file).open("r+b") as large:
        large.truncate(export_files.LIMITS[file] + 1)
    with pytest.raises(InputError, match=rf"{file} has more than .* bytes, the limit"):
        LOADERS[loader](copy)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_folder_in_place_of_a_file_is_refused(loader, copy):
    (copy / MODEL).unlink()
    (copy / MODEL).mkdir()
    with pytest.raises(InputError, match=r"it is no regular file"):
        LOADERS[loader](copy)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("file", [CONFIG, MODEL, GOLDEN])
def test_an_edit_shows_in_the_checksum(file, loader, copy):
    if file == CONFIG:
        config = json.loads((copy / CONFIG).read_text())
        config["provenance"]["license"] = "mine"
        (copy / CONFIG).write_text(json.dumps(config))
    else:
        content = bytearray((copy / file).read_bytes())
        at = content.find(np.float32(golden_value(copy) if file == GOLDEN else 0).tobytes())
        content[at] ^= 1
        (copy / file).write_bytes(content)
    with pytest.raises(InputError, match=r"does not have its checksum|is damaged"):
        LOADERS[loader](copy)


def golden_value(path):
    return np.load(path / GOLDEN)["param/scalar"]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**31 - 1, "hidden_size is 2147483647; FactoredMLP needs int"),
        (2**22, r"cannot be built|'network.layer0.bias' is|needs"),
        (0, r"cannot be built|needs"),
        (-1, r"cannot be built|needs"),
        ("4", "hidden_size is '4'; FactoredMLP needs int"),
        (True, "hidden_size is True"),
        (4.0, "hidden_size is 4.0"),
        ("x" * 500, "hidden_size is 'x"),
    ],
)
def test_arguments_that_fit_no_weights_are_refused(value, message, loader, copy):
    config = json.loads((copy / CONFIG).read_text())
    signed(copy, arguments=config["arguments"] | {"hidden_size": value})
    with pytest.raises(InputError, match=message):
        LOADERS[loader](copy)


@pytest.mark.parametrize("loader", LOADERS)
def test_choices_are_checked(loader, tmp_path):
    path = bare_export(tmp_path / "export", HyperController())
    config = json.loads((path / CONFIG).read_text())
    signed(path, arguments=config["arguments"] | {"controller": "gru"})
    with pytest.raises(InputError, match="'gru'"):
        LOADERS[loader](path)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_foreign_architecture_is_refused(loader, copy):
    signed(copy, kind="FactoredMPL")
    with pytest.raises(InputError, match="did you mean 'FactoredMLP'"):
        LOADERS[loader](copy)


def mutated(content, draw):
    """The content with some bytes changed, cut out, or repeated."""
    found = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at, length = draw.randint(len(found) + 1), draw.randint(1, 30)
        kind = draw.randint(5)
        if kind == 0 and found:
            found[at % len(found)] ^= 1 << draw.randint(8)
        elif kind == 1:
            found[at : at + length] = draw.bytes(length)
        elif kind == 2:
            del found[at : at + length]
        elif kind == 3:
            found[at:at] = found[at : at + length]
        else:
            found[at:at] = DIGITS[draw.randint(len(DIGITS))]
    return bytes(found)


# What makes another file of a text more often than random bytes do.
DIGITS = [b"9", b"9" * 30, b"-", b'"', b"[", b"{}", b"null", b"1e999", b"\\u0000", b",", b"."]


def test_mutated_files_are_refused_or_mean_what_they_meant(good):
    draw = np.random.RandomState(0)
    originals = {name: (good / name).read_bytes() for name in (CONFIG, MODEL, GOLDEN)}
    expected = export_files.read(good)
    before, num_refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for i in range(NUM_FUZZED):
        name = (CONFIG, MODEL, GOLDEN)[i % 3]
        contents = originals | {name: mutated(originals[name], draw)}
        try:
            found = reading.built(export_files.parse(good, contents)).files
        except InputError as error:
            num_refused += 1
            assert "\n" not in str(error) and str(good) in str(error)
        else:
            # White space, an order of keys, or bytes that nothing reads.
            assert (found.kind, found.arguments) == (expected.kind, expected.arguments)
            assert all(np.array_equal(x, found.arrays[n]) for n, x in expected.arrays.items())
    assert num_refused > 0.9 * NUM_FUZZED
    growth = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert growth < MAX_GROWTH


def test_mutated_configurations_are_refused_by_jax_too(copy):
    """Values of arguments that the checksum would not let pass, were it not theirs."""
    draw = np.random.RandomState(1)
    values = [0, -1, 2**31 - 1, 2**40, 1e308, None, "x", [], {}, True, float(10**30), 2**22, "\n"]
    config = json.loads((copy / CONFIG).read_text())
    for _ in range(100):
        part = ("arguments", "constants")[draw.randint(2)]
        name = draw.choice(sorted(config[part]))
        signed(copy, **{part: config[part] | {name: values[draw.randint(len(values))]}})
        for loader in LOADERS.values():
            try:
                loader(copy)
            except InputError as error:
                assert "\n" not in str(error)
        signed(copy, **{part: config[part]})
