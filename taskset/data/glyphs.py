"""Characters drawn from the fonts that come with matplotlib.

A drawing is a grey square, 255 where the ink is. Fonts are DejaVu (free licence), STIX (OFL) and
Computer Modern (public domain).
"""

import functools
import pathlib
import unicodedata

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Styles that have the same few thousand characters.
DEJAVU = tuple(
    f"DejaVu{face}{style}"
    for face, slanted in (("Sans", "Oblique"), ("SansMono", "Oblique"), ("Serif", "Italic"))
    for style in ("", "-Bold", f"-{slanted}", f"-Bold{slanted}")
)
# Fonts that have at least the letters.
ALPHABETIC = (
    *DEJAVU,
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
)

CANVAS = 96  # pixels of a drawing, on a side
EM = 64  # pixels of the font on it: room to turn and to shift
COMPARED_AT = 16  # pixels at which characters have to look different
FIRST = "A"  # the first class of every set


def draw(character: str, font: str) -> Image.Image:
    """A character on a square of `CANVAS` pixels, at its natural size and height."""
    image = Image.new("L", (CANVAS, CANVAS))
    middle = (CANVAS // 2, CANVAS // 2)
    ImageDraw.Draw(image).text(middle, character, fill=255, font=_font(font), anchor="mm")
    return image


def placed(
    drawing: Image.Image, size: int, degrees: float, scale: float, shift: tuple[float, float]
) -> np.ndarray:
    """A drawing turned, then scaled, then moved by a part of the side; [size, size] uint8.

    At scale 1 the em takes the whole side.
    """
    half, step = drawing.width / 2, drawing.width * EM / (CANVAS * size * scale)
    turn = np.exp(1j * np.radians(degrees)) * step  # from a pixel of the result to the drawing
    a, b = float(turn.real), float(turn.imag)
    x, y = (size * (0.5 + part) for part in shift)
    affine = (a, -b, half - a * x + b * y, b, a, half - b * x - a * y)
    moved = drawing.transform(
        (size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC
    )
    return np.asarray(moved)


@functools.cache
def distinct(num: int) -> tuple[str, ...]:
    """`num` characters of all DejaVu styles, each chosen to look unlike those before it.

    Farthest first, by squared distance of small drawings: a smaller choice begins a larger one.
    """
    candidates = _candidates()
    small = [draw(c, DEJAVU[0]).resize((COMPARED_AT, COMPARED_AT)) for c in candidates]
    pixels = np.stack([np.asarray(image, np.int32).reshape(-1) for image in small])
    chosen = [candidates.index(FIRST)]
    distance = ((pixels - pixels[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < num:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((pixels - pixels[chosen[-1]]) ** 2).sum(axis=1))
    return tuple(candidates[index] for index in chosen)


def _candidates() -> list[str]:
    """The visible characters that stand by themselves and that all DejaVu styles have."""
    from matplotlib.ft2font import FT2Font

    shared = set.intersection(*(set(FT2Font(str(_file(font))).get_charmap()) for font in DEJAVU))
    invisible, dependent = ("C", "Z"), ("M", "Lm", "Sk")
    return [
        character
        for character in map(chr, sorted(shared))
        if not unicodedata.category(character).startswith(invisible + dependent)
    ]


@functools.cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_file(name)), EM, layout_engine=ImageFont.Layout.BASIC)


def _file(font: str) -> pathlib.Path:
    import matplotlib

    return pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
