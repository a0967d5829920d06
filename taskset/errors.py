"""The one error type for what a user can put right."""

import difflib
from collections.abc import Iterable

MAX_NAMES = 20  # that a message lists


class InputError(ValueError):
    """Input that its author can mend: the message names the value, the limit and the way out.

    The command line prints it as one line and exits with status 2; a library user can catch it.
    """


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> InputError:
    """The error for a `name` that is none of `valid`, with the nearest valid name when one is near.

    `kind` says what the name should be: "task family", "key in [learner]".
    """
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(names[:MAX_NAMES])}{more}"
    return InputError(f"unknown {kind} {name!r}; {hint}")
