"""Exports with something changed: bytes of a file, or a value, with checksums that fit again."""

import json
from typing import Any

import numpy as np

from metaopt import export_files
from metaopt.export_files import CONFIG, GOLDEN, MODEL

FILES = (CONFIG, MODEL, GOLDEN)
# What makes another file of a text more often than random bytes do.
TEXTS = [b"9", b"9" * 30, b"-", b'"', b"[", b"{}", b"null", b"1e999", b"\\u0000", b",", b"."]
# Infinity, NaN, numbers near the ends of float32, the next above 0, and -1.
WORDS = [b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\xff\xff\x7f\x7f", b"\x01\0\0\0", b"\0\0\x80\xbf"]
VALUES = [0, -1, 1, 2, 2**22, 2**31 - 1, 2**40, float(10**30), 1e308, -1e308, 0.5, 1e-45]
VALUES += [None, True, "", "x", "\n", "../../x", "x" * 10_000, [], [0.5], ["x"], [[]], {}, {"x": 1}]


def mutated(content: bytes, draw: np.random.RandomState) -> bytes:
    """The content with some bytes changed, cut out, or repeated."""
    found = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at, length = draw.randint(len(found) + 1), draw.randint(1, 30)
        kind = draw.randint(6)
        if kind == 0 and found:
            found[at % len(found)] ^= 1 << draw.randint(8)
        elif kind == 1:
            found[at : at + length] = draw.bytes(length)
        elif kind == 2:
            del found[at : at + length]
        elif kind == 3:
            found[at:at] = found[at : at + length]
        elif kind == 4:
            found[at // 4 * 4 : at // 4 * 4 + 4] = WORDS[draw.randint(len(WORDS))]
        else:
            found[at:at] = TEXTS[draw.randint(len(TEXTS))]
    return bytes(found)


def edited(config: dict[str, Any], draw: np.random.RandomState) -> dict[str, Any]:
    """A configuration of which one value, at any depth, is another, is gone, or has a new name."""
    config = json.loads(json.dumps(config))
    place = config
    name = list(place)[draw.randint(len(place))]
    while isinstance(place[name], dict) and place[name] and draw.randint(10):
        place = place[name]
        name = list(place)[draw.randint(len(place))]
    kind = draw.randint(10)
    if kind == 0:
        del place[name]
    elif kind == 1:
        place[f"{name}x"] = place.pop(name)
    else:
        place[name] = VALUES[draw.randint(len(VALUES))]
    return config


def mutant(originals: dict[str, bytes], draw: np.random.RandomState) -> dict[str, bytes]:
    """The contents of an export's files, of which one is mutated.

    Every other time checksums are made to fit, as by one who means it: else they would refuse what
    nothing else does.
    """
    name = FILES[draw.randint(len(FILES))]
    resigned = draw.randint(2)
    if name == CONFIG and resigned:
        config = edited(json.loads(originals[CONFIG]), draw)
        return originals | {CONFIG: signed(config, originals)}
    contents = originals | {name: mutated(originals[name], draw)}
    if resigned:
        contents[CONFIG] = signed(json.loads(originals[CONFIG]), contents)
    return contents


def signed(config: dict[str, Any], contents: dict[str, bytes]) -> bytes:
    """The content of a configuration file with the checksums of the other files, and of itself."""
    others = {name: contents[name] for name in (MODEL, GOLDEN)}
    fields = export_files.signed(config, others)
    # What the configuration says of the format stays as it is, and so do checksums that are odd.
    kept = {name: config[name] for name in ("format_version",) if name in config}
    if not isinstance(config.get("sha256"), dict):
        kept |= {"sha256": config.get("sha256")}
    return json.dumps(fields | kept).encode()
