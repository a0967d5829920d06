"""Loss curves in text."""

import numpy as np
import pytest

from workers.commands.sparkline import WIDTH, sparkline


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([7.0, 6, 5, 4, 3, 2, 1, 0], "█▇▆▅▄▃▂▁  7 to 0"),
        ([-3.0, -3.0], "▁▁  -3 to -3"),
        ([1.0, 0.0, np.nan, np.inf], "█▁!!  1 to inf"),
        ([np.nan], "!  nan to nan"),
    ],
)
def test_bars_follow_the_losses(losses, expected):
    assert sparkline(np.asarray(losses)) == expected


def test_long_curves_are_averaged():
    losses = np.tile([0.0, 2.0], 2 * WIDTH)
    assert sparkline(losses) == "▁" * WIDTH + "  1 to 1"
