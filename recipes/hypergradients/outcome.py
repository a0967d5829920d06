"""The command line of the recipes of this folder: run, print, record, draw.

A recipe has a `run`, which returns what came of it, and a `draw`, which puts that on a figure.
"""

import io
import json as json_module
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from matplotlib import cm, colors, pyplot
from matplotlib.figure import Figure
from PIL import Image

File = Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")]
Outcome = dict[str, Any]  # "results", which are printed, and whatever else is drawn

DIGITS = 4  # that are recorded


def command(run: Callable[[], Outcome], draw: Callable[[Outcome, Figure], None]) -> None:
    """Runs a recipe, or takes what is recorded of it; prints the results, records and draws."""

    def main(json: File = None, picture: File = None, recorded: File = None) -> None:
        """Prints the results; writes all of the outcome to `json`, and draws it.

        Args:
            json: where to record the outcome.
            picture: where to draw it.
            recorded: an outcome to draw, in place of running anything.
        """
        if recorded:
            outcome = json_module.loads(recorded.read_text())
        else:
            begun = time.process_time()
            outcome = run()
            outcome["results"]["cpu_seconds"] = time.process_time() - begun
        for name, value in outcome["results"].items():
            print(f"{name:28} {json_module.dumps(_plain(value))}")
        if json:
            json.write_text(json_module.dumps(_plain(outcome)) + "\n")
        if picture:
            figure = pyplot.figure(layout="constrained")
            draw(json_module.loads(json_module.dumps(_plain(outcome))), figure)
            _save(figure, picture)

    tyro.cli(main)


def draw_maps(
    figure: Figure, maps: np.ndarray, colours: str, label: str, middle: float = 0.0
) -> None:
    """Ten square maps, [10, pixels], one for each digit, on one scale of colours."""
    figure.set_size_inches(9, 4)
    panels, side = figure.subplots(2, 5), math.isqrt(maps.shape[1])
    largest = np.abs(maps - middle).max()
    scale = colors.Normalize(middle - largest, middle + largest)
    for digit, (axes, pixels) in enumerate(zip(panels.flat, maps, strict=True)):
        axes.imshow(pixels.reshape(side, side), cmap=colours, norm=scale)
        axes.set(title=f"{digit}", xticks=[], yticks=[])
    figure.colorbar(cm.ScalarMappable(scale, colours), ax=panels, label=label)


def _save(figure: Figure, path: pathlib.Path) -> None:
    """A picture of few bytes, for documents."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    Image.open(drawn).convert("RGB").quantize(256).save(path, optimize=True)


def _plain(value: Any) -> Any:
    """`value` in lists and rounded numbers, as JSON has them."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
