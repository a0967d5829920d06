"""What a code is held against."""

import numpy as np


def entropy(integers: np.ndarray) -> float:
    """Bits of each of `integers`, if they are drawn from their own frequencies."""
    _, counts = np.unique(integers, return_counts=True)
    return float(-np.sum(counts * np.log2(counts / integers.size)) / integers.size)
