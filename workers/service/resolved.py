"""What a request for a run comes to, or what is wrong with it. Imports no JAX."""

from typing import Literal, NamedTuple

from taskset.errors import InputError


class Limits(NamedTuple):
    """What the service allows of any run."""

    max_workers: int = 64


class Resolved(NamedTuple):
    """A run that can begin."""

    command: Literal["train", "tune"]
    config: str  # the whole configuration, as TOML


class BadOverrides(InputError):
    """What is wrong with overrides: one line, and the keys that it is about."""

    def __init__(self, message: str, keys: tuple[str, ...] = ()):
        super().__init__(message)
        self.keys = keys
