"""Every field of a dataclass as a command-line flag, with errors of one line."""

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import tyro

T = TypeVar("T")


def parse(
    cls: type[T],
    arguments: Sequence[str],
    prog: str,
    default: T | None = None,
) -> T:
    """The dataclass that flags describe; what they leave out is as in `default`.

    Prints help and exits when asked to. Raises `InputError` for flags that do not exist, for text
    that is not of the type of its flag, and for values that the dataclass refuses.
    """
    box = io.StringIO()
    default_option: Any = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(
                cls,
                args=list(arguments),
                prog=prog,
                config=(tyro.conf.AvoidSubcommands,),
                **default_option,
            )
    except SystemExit as refusal:
        if not refusal.code:
            raise
        from taskset.errors import InputError  # takes JAX with it, so not at the top

        own = next((e for e in _chain(refusal) if isinstance(e, InputError)), None)
        raise own or InputError(_first_paragraph(box.getvalue())) from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error`, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_paragraph(box: str) -> str:
    """What is wrong, without the frame that tyro draws around it and the help that follows."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()
    inside = [line.strip("│ ") for line in lines if line.startswith("│")]
    end = next((i for i, line in enumerate(inside) if not line.strip("─")), len(inside))
    message = " ".join(inside[:end]).rstrip(".") or box.strip()
    suggestion = re.search(r"Perhaps you meant:[│\s]+(--[\w.-]+)", box)
    return f"{message}; did you mean {suggestion[1]}?" if suggestion else message


def take(arguments: Sequence[str], pattern: str) -> tuple[dict[str, Any], list[str]]:
    """The values of the flags whose names match `pattern`, and the other arguments.

    For the flags that decide which others there are. "--name value" and "--name=value" are one.
    """
    taken: dict[str, Any] = {}
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.partition("=")
        if re.fullmatch(f"--(?:{pattern})", name):
            taken[name.removeprefix("--")] = value if equals else next(remaining, "")
        else:
            rest.append(argument)
    return taken, rest
