"""A piece of work that depends on no other, and what it comes to."""

import traceback
from typing import Any, NamedTuple, Protocol

from taskset.errors import InputError


class Piece(Protocol):
    """Work that can be sent to another process."""

    def run(self) -> Any:
        """Does it. What it returns can be sent, too."""
        ...


class Failed(NamedTuple):
    """What a piece has come to that has no result."""

    reason: str  # one line


class Done(NamedTuple):
    """A piece that was done in another process, and how that is."""

    outcome: Any  # what the piece returned, or `Failed`
    memory_bytes: int  # that the process holds


def attempt(piece: Piece) -> Any:
    """What `piece` returns, or `Failed` with what it raised."""
    try:
        return piece.run()
    except InputError as error:
        return Failed(" ".join(str(error).split()))
    except Exception as error:
        return Failed(" ".join("".join(traceback.format_exception_only(error)).split()))
