"""A loss curve in a line of text."""

import numpy as np

BARS = "▁▂▃▄▅▆▇█"
DIVERGED = "!"
WIDTH = 40


def sparkline(losses: np.ndarray) -> str:
    """`losses` [num_steps] as bars, each the mean of some steps, with the first and the last mean.

    The lowest mean is the lowest bar. Means that are not finite are exclamation marks.
    """
    parts = np.array_split(np.asarray(losses, np.float64), min(WIDTH, len(losses)))
    means = np.asarray([np.mean(part) for part in parts])
    finite = means[np.isfinite(means)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    heights = (means - low) / max(high - low, np.finfo(np.float64).tiny) * (len(BARS) - 1)
    bars = [BARS[round(h)] if np.isfinite(h) else DIVERGED for h in heights]
    return f"{''.join(bars)}  {means[0]:.4g} to {means[-1]:.4g}"
