"""How a number is written, in text and on an axis."""

import math

MINUS = "\u2212"
INFINITE = "\u221e"
MISSING = "\u2013"
SMALLEST, LARGEST = 1e-4, 1e6  # beyond them numbers have an exponent


def number(value: float | None, digits: int = 3) -> str:
    """A number in at least `digits` significant digits, whole numbers with separators."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return INFINITE if value > 0 else f"{MINUS}{INFINITE}"
    if value == int(value) and abs(value) < LARGEST:
        return _signed(f"{int(value):,}")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")  # of the rounded number
    if SMALLEST <= abs(value) < LARGEST:
        return _signed(f"{value:,.{max(0, digits - 1 - int(exponent))}f}")
    return _signed(f"{mantissa}e{int(exponent)}")


def tick(value: float) -> str:
    """A round number on an axis, without zeros at its end."""
    if 1000 <= abs(value) < LARGEST:
        return _signed(f"{value:,.0f}")
    mantissa, _, exponent = f"{value:.6g}".partition("e")
    return _signed(f"{mantissa}e{int(exponent)}" if exponent else mantissa)


def percent(share: float) -> str:
    """A share in whole percent."""
    return MISSING if math.isnan(share) else f"{100 * share:.0f} %"


def counted(number: int, thing: str) -> str:
    """A number of things: "1 run", "2 runs"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _signed(written: str) -> str:
    return written.replace("-", MINUS)
