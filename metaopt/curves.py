"""Pictures of training loss over steps: of an evaluation, and of a task as a thumbnail."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Three colours of Okabe and Ito's palette, told apart with every kind of colour blindness.
COLORS = ("#D55E00", "#0072B2", "#009E73")
INK, FAINT = "#333333", "#DDDDDD"
LABEL_GAP = 0.055  # least distance of two labels, as a share of the height of the axes
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "metaopt",
}


def draw(report: Mapping[str, Any], folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes `curves.png` and `curves.svg` of a report (`metaopt.report.as_json`) into `folder`.

    Lines are medians over seeds of the minibatch training loss, bands reach from the lower to the
    upper quartile. Returns the paths.
    """
    paths = [folder / "curves.png", folder / "curves.svg"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        _plot(figure.add_subplot(), report)
        for path in paths:
            figure.savefig(path, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else {})
    return paths


def draw_thumbnail(path: pathlib.Path, title: str, losses: Mapping[str, np.ndarray]) -> None:
    """Writes a small picture of up to three training curves, [num_steps] each by their labels.

    The extension of `path` says which kind of picture, .png if it has none. Raises `OSError` when
    the file cannot be written, and `ValueError` for another kind than matplotlib has.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for curve, color in zip(losses.values(), COLORS, strict=False):
            axes.plot(np.arange(len(curve)), curve, color=color, linewidth=1.4)
        drawn = np.concatenate([curve[np.isfinite(curve)] for curve in losses.values()])
        axes.set_yscale("log" if np.all(drawn > 0) else "symlog")
        axes.set_xlim(0, max(1, *(len(curve) - 1 for curve in losses.values())))
        _label_ends(axes, [_last_finite(curve) for curve in losses.values()], list(losses))
        _clean(axes)
        axes.set_xlabel("inner step")
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else {})


def _plot(axes: Axes, report: Mapping[str, Any]) -> None:
    results = report["results"]
    ends = []
    for result, color in zip(results, COLORS, strict=True):
        low, median, high = (_array(result["curve"][name]) for name in result["curve"])
        steps = np.arange(len(median))
        width = 2.2 if result is results[0] else 1.6
        axes.fill_between(steps, low, high, color=color, alpha=0.16, linewidth=0)
        axes.plot(steps, median, color=color, linewidth=width, solid_capstyle="round")
        ends.append(_last_finite(median))
    axes.set_yscale("log")
    axes.set_xlim(0, max(1, report["num_steps"] - 1))
    _label_ends(axes, ends, [_label(result) for result in results], bold=0)
    _clean(axes)
    axes.set_xlabel("inner step")
    axes.set_title(
        f"Training loss on {report['task']}", loc="left", fontsize=12, fontweight="bold", pad=22
    )
    note = f"minibatch loss, median and quartiles over {len(report['seeds'])} held-out runs"
    axes.text(0, 1.03, note, transform=axes.transAxes, fontsize=9.5, color="#666666")


def _last_finite(losses: np.ndarray) -> float:
    finite = losses[np.isfinite(losses)]
    return float(finite[-1]) if finite.size else np.nan


def _label_ends(
    axes: Axes, ends: Sequence[float], labels: Sequence[str], bold: int | None = None
) -> None:
    """Writes each label at the right of its line, moved apart where lines end close together."""
    to_axes = lambda loss: (axes.transData + axes.transAxes.inverted()).transform((0, loss))[1]
    # A loss of 0 is infinitely far below a logarithmic axis.
    height = lambda end: float(np.clip(to_axes(end), 0, 1)) if np.isfinite(end) else 1.0
    heights = {i: height(end) for i, end in enumerate(ends)}
    order = sorted(heights, key=heights.__getitem__)
    positions = [heights[i] for i in order]
    for above in range(1, len(positions)):
        positions[above] = max(positions[above], positions[above - 1] + LABEL_GAP)
    shift = float(np.mean([heights[i] for i in order]) - np.mean(positions))
    for i, position in zip(order, positions, strict=True):
        axes.text(
            1.015,
            position + shift,
            labels[i],
            transform=axes.transAxes,
            color=COLORS[i],
            va="center",
            fontweight="bold" if i == bold else "normal",
        )


def _clean(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(which="both", length=0)
    axes.grid(axis="y", which="major", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(lambda loss, _: f"{loss:g}")
    axes.yaxis.set_minor_formatter("")


def _label(result: Mapping[str, Any]) -> str:
    rate = result["learning_rate"]
    return result["name"] if rate is None else f"{result['name']}, rate {rate:.2g}"


def _array(losses: Sequence[float | None]) -> np.ndarray:
    return np.asarray([np.nan if loss is None else loss for loss in losses])
