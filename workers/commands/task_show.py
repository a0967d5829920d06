"""`metaopt tasks show`: one task, what a step of it costs, and how Adam fares on it."""

import dataclasses
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from metaopt import curves
from metaopt.baselines.task_curves import adam_curves
from taskset import catalog, timings
from taskset.errors import InputError
from workers.commands import task_facts
from workers.commands.sparkline import sparkline
from workers.commands.table import print_record

RATES = (1e-3, 1e-2, 1e-1)
NUM_STEPS = 200
PATIENCE = 10.0  # seconds of training that nobody asked for


@dataclasses.dataclass(frozen=True)
class TasksShow:
    """Shows one task: its configuration, data and size, and what an inner step costs.

    The loss curves of Adam at three learning rates are drawn in text where that takes seconds.
    """

    # as mlp:dataset=digits,hidden=32x16
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    thumbnail: Path | None = None  # draw them into this file: .png or .svg
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per fact. Prepares the data set if that needs no download."""
        if self.thumbnail is not None and self.thumbnail.suffix not in (".png", ".svg"):
            raise InputError(f"--thumbnail is {self.thumbnail}; it must end in .png or .svg")
        family = catalog.build(self.name)
        record = task_facts.of_task(self.name)
        seconds = timings.measure(record["name"])
        record["milliseconds_per_step"] = 1000 * seconds
        draw_text = not self.json and len(RATES) * NUM_STEPS * seconds < PATIENCE
        if draw_text or self.thumbnail:
            found = adam_curves(family, RATES, NUM_STEPS)
            losses = {f"Adam {rate:g}": curve for rate, curve in zip(RATES, found, strict=True)}
            record |= {name: sparkline(curve) for name, curve in losses.items()}
            if self.thumbnail:
                _draw(self.thumbnail, record["name"], losses)
        print_record(record, self.json)
        return 0


def _draw(path: Path, name: str, losses: dict[str, np.ndarray]) -> None:
    try:
        curves.draw_thumbnail(path, name, losses)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}; give another --thumbnail"
        ) from error
