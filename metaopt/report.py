"""An evaluation as plain JSON values, and as the rows of a table.

The table is made from the JSON, so a report reads the same on the day and from the file.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metaopt.comparison import mean_interval
from metaopt.evaluate import MEASURES, Evaluation, Result

FORMAT_VERSION = 1
HEADER = (
    "optimizer",
    "final train loss",
    "95 % interval",
    "trajectory mean",
    "test loss",
    "rate",
    "tuning runs",
    "diverged",
    "ms/update",
    "state bytes/parameter",
)


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON values; curves as quartiles over seeds, numbers not finite as None."""
    comparison = evaluation.comparison
    return _finite(
        {
            "format_version": FORMAT_VERSION,
            "task": evaluation.task,
            "num_steps": evaluation.num_steps,
            "seeds": evaluation.seeds,
            "stream": evaluation.stream,
            "results": [_result(result) for result in evaluation.results],
            "grids": [
                {"schedule": grid.schedule, "brackets_best": grid.brackets, "rates": grid.rates}
                | {measure: grid.means(measure) for measure in MEASURES}
                for grid in evaluation.grids
            ],
            "comparison": {
                "baseline": evaluation.best_baseline.name,
                **comparison._asdict(),
                "excludes_parity": comparison.excludes_parity,
            },
            "shortcomings": evaluation.shortcomings(),
        }
    )


def curve_quartiles(curves: np.ndarray) -> np.ndarray:
    """The quartiles over seeds of curves, [num_seeds, num_steps], at each step: [3, num_steps].

    A loss that is not finite counts as infinite.
    """
    curves = np.where(np.isfinite(curves), curves, np.inf)
    return np.quantile(curves, (0.25, 0.5, 0.75), axis=0, method="inverted_cdf")


def table(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The rows of the table under `HEADER`, for what `as_json` returned."""
    return [_row(result) for result in report["results"]]


def markdown(report: Mapping[str, Any]) -> str:
    """The table in Markdown."""
    rows = [HEADER, ("---",) * len(HEADER), *table(report)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def conclusions(report: Mapping[str, Any]) -> list[str]:
    """What the numbers say, in sentences: the comparison, its terms, and the shortcomings."""
    comparison = report["comparison"]
    low, high = comparison["ratio_interval"]
    verdict = "excludes" if comparison["excludes_parity"] else "does not exclude"
    lines = [
        f"Final train loss is {_number(comparison['ratio'])} times that of "
        f"{comparison['baseline']}, 95 % interval {_number(low)} to {_number(high)}: "
        f"it {verdict} parity ({len(report['seeds'])} runs, paired by seed).",
        "The rates of Adam were chosen on these same runs, which is in its favour.",
    ]
    lines += [
        f"The grid of Adam, {grid['schedule']} rate, does not bracket its best rate."
        for grid in report["grids"]
        if not grid["brackets_best"]
    ]
    return lines + [f"Worse: {line}." for line in report["shortcomings"]]


def _result(result: Result) -> dict[str, Any]:
    low, median, high = curve_quartiles(result.curves)
    measures = {
        measure: {
            "mean": result.mean(measure),
            "interval": mean_interval(getattr(result, measure)),
            "by_seed": getattr(result, measure),
        }
        for measure in MEASURES
    }
    return {
        "name": result.name,
        "learning_rate": result.learning_rate,
        "tuning_runs": result.tuning_runs,
        **measures,
        "diverged": result.diverged,
        "update_milliseconds": result.cost.milliseconds,
        "state_bytes_per_parameter": result.cost.state_bytes_per_parameter,
        "curve": {"lower_quartile": low, "median": median, "upper_quartile": high},
    }


def _row(result: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = result["final_train_loss"]["interval"]
    return (
        result["name"],
        _number(result["final_train_loss"]["mean"]),
        f"{_number(low)} - {_number(high)}",
        _number(result["trajectory_mean"]["mean"]),
        _number(result["test_loss"]["mean"]),
        "-" if result["learning_rate"] is None else _number(result["learning_rate"]),
        str(result["tuning_runs"]),
        str(result["diverged"]),
        _number(result["update_milliseconds"]),
        f"{result['state_bytes_per_parameter']:.1f}",
    )


def _number(value: float | None) -> str:
    return "inf" if value is None else f"{value:.3g}"


def _finite(value: Any) -> Any:
    """Plain JSON values, rounded to 7 digits, as JSON has no word for infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value
