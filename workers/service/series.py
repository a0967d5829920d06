"""Curves as they are sent: JSON made once, by what is fastest at it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson

from workers.service.curves import Points
from workers.service.history import History


def series(points: Points) -> dict[str, np.ndarray]:
    """A `Series`; its arrays are for `encode`."""
    return {
        "step": np.ascontiguousarray(points.step, np.int64),
        "seconds": points.seconds.round(3),
        "mean": np.ascontiguousarray(points.mean),
        "min": np.ascontiguousarray(points.low),
        "max": np.ascontiguousarray(points.high),
    }


def all_series(
    history: History, names: Iterable[str], first: int, last: int, points: int
) -> dict[str, Any]:
    """The series of the metrics that the run has; `history.lock` is held."""
    return {
        name: series(history.curve(name, first, last, points))
        for name in names
        if history.has(name)
    }


def encode(value: Any) -> bytes:
    """As JSON, with null for numbers that are not finite."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
