"""Small pictures of tasks, as SVG text. Pure; whatever is text in them is escaped."""

from collections.abc import Iterable

import numpy as np

from metaopt.pages.html import Html, element

WIDTH, HEIGHT = 160, 96
MARGIN = 8
MAX_POINTS = 60
MAX_PIXELS = 12  # of a side of an image
MAX_FACTS, MAX_TEXT = 6, 26
INK, PALE = "#2a6fb0", "#808080"


def curve(title: str, steps: np.ndarray, losses: np.ndarray) -> str:
    """A loss over steps, [points] each, on a logarithmic scale where all are positive."""
    finite = np.isfinite(losses)
    if np.count_nonzero(finite) < 2:
        return facts(title, [("loss", "not finite")])
    chosen = np.linspace(0, np.count_nonzero(finite) - 1, MAX_POINTS).astype(int)
    x, y = steps[finite][chosen].astype(float), losses[finite][chosen].astype(float)
    y = np.log(y) if np.all(y > 0) else y
    across = MARGIN + (WIDTH - 2 * MARGIN) * _unit(x)
    down = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * _unit(y)
    points = " ".join(f"{a:.1f},{d:.1f}" for a, d in zip(across, down, strict=True))
    line = element("polyline", points=points, fill="none", stroke=INK, stroke_width="2")
    return _svg(f"Loss of Adam on {title}, {losses[finite][0]:.3g} to {y_text(losses)}", [line])


def y_text(losses: np.ndarray) -> str:
    """The last finite one."""
    return f"{losses[np.isfinite(losses)][-1]:.3g}"


def images(title: str, examples: np.ndarray) -> str:
    """Images, [count, height, width, channels] in 0…255, coarsely, in two rows."""
    columns = -(-len(examples) // 2)
    side = min((WIDTH - MARGIN) / columns, (HEIGHT - MARGIN) / 2) - 4
    drawn = [
        _image(
            image, MARGIN + (i % columns) * (side + 4), MARGIN + (i // columns) * (side + 4), side
        )
        for i, image in enumerate(examples)
    ]
    return _svg(f"Examples of {title}", drawn)


def facts(title: str, known: Iterable[tuple[str, str]]) -> str:
    """Names and values as lines of text, the first few of them."""
    lines = [
        element(
            "text",
            f"{name} {value}"[:MAX_TEXT],
            x=MARGIN,
            y=18 + 13 * i,
            font_size="11",
            font_family="monospace",
            fill=PALE,
        )
        for i, (name, value) in enumerate([*known][:MAX_FACTS])
    ]
    return _svg(title, lines)


def _image(image: np.ndarray, left: float, top: float, side: float) -> Html:
    """An image as squares, one for each of at most 12 by 12 of its pixels."""
    rows, columns = (_chosen(size) for size in image.shape[:2])
    small = np.clip(image[np.ix_(rows, columns)], 0, 255).astype(int)
    size = side / max(len(rows), len(columns))
    squares = [
        element(
            "rect",
            x=round(left + j * size, 2),
            y=round(top + i * size, 2),
            width=round(size + 0.1, 2),
            height=round(size + 0.1, 2),
            fill=_color(small[i, j]),
        )
        for i in range(len(rows))
        for j in range(len(columns))
    ]
    return element("g", *squares)


def _chosen(size: int) -> np.ndarray:
    return np.linspace(0, size - 1, min(size, MAX_PIXELS)).round().astype(int)


def _color(pixel: np.ndarray) -> str:
    channels = [*pixel] if len(pixel) >= 3 else [pixel[0]] * 3
    return "#" + "".join(f"{int(channel):02x}" for channel in channels[:3])


def _unit(values: np.ndarray) -> np.ndarray:
    """`values` between 0 and 1; in the middle when all are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.full_like(values, 0.5)


def _svg(title: str, drawn: Iterable[Html]) -> str:
    return element(
        "svg",
        element("title", title),
        *drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
    )
