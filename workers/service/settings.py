"""What the service was told when it was started."""

import dataclasses
import hmac
import ipaddress
import math
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from taskset.errors import InputError

TOKEN_VARIABLES = ("METAOPT_SERVICE_TOKEN", "METAOPT_SERVICE_TOKENS")
MIN_TOKEN_LENGTH = 16
NAMELESS = "token"  # the user of a token that stands without a name
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The service as it was asked for; what is not given is safe."""

    root: str  # folder or URL that has the run folders
    host: str = "127.0.0.1"
    port: int = 8700
    index: Path | None = None  # file; by default in the cache directory, one for each root
    tokens: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)  # user by token
    allowed_hosts: tuple[str, ...] = ()  # besides the names of loopback and of `host`
    read_only: bool = False
    launcher: Literal["process", "ray"] = "process"
    rate: float = 500.0  # requests per second of one user or address; 0 for no limit
    change_rate: float = 2.0  # the same of requests that change something
    max_body: int = 64 * 1024  # bytes
    ray_address: str | None = None  # of the dashboard, for launcher "ray"
    recipes: Path | None = None  # folder of TOML files; by default those of this version
    max_workers: int = 64  # of a run
    price: float | None = None  # of a core hour
    currency: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise InputError(f"--port is {self.port}; it must be 0 (any free one) to 65535")
        if not is_loopback(self.host) and not self.tokens:
            raise InputError(
                f"--host {self.host} lets others in, so there must be a token: "
                f"give --token-file, or set {TOKEN_VARIABLES[0]}"
            )
        if self.rate < 0 or self.change_rate < 0:
            raise InputError("--rate and --change-rate must be 0 (no limit) or more")
        if self.max_workers < 1:
            raise InputError(f"--max-workers is {self.max_workers}; it must be at least 1")
        if self.price is not None and not 0 <= self.price < math.inf:
            raise InputError(f"--price-per-core-hour is {self.price}; it must be 0 or more")

    @property
    def host_names(self) -> frozenset[str]:
        """What may stand as the name in a Host header, in lower case."""
        own = () if self.host in ("0.0.0.0", "::") else (_bracketed(self.host),)
        machine = () if is_loopback(self.host) else (socket.gethostname(), socket.getfqdn())
        names = (*LOOPBACK_NAMES, *own, *machine, *map(_bracketed, self.allowed_hosts))
        return frozenset(name.lower() for name in names if name)

    def user_of(self, token: str) -> str | None:
        """Who `token` belongs to; takes as long whichever it is."""
        given, found = token.encode(), None
        for known, user in self.tokens.items():
            if hmac.compare_digest(known.encode(), given):
                found = user
        return found


def is_loopback(host: str) -> bool:
    """Whether only processes of this machine reach `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def read_tokens(file: Path | None, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Users by token, of the lines "token" or "name token" of `file` and of the environment.

    Raises `InputError` when the file cannot be read or a line is not of that form.
    """
    sources = {name: environment[name] for name in TOKEN_VARIABLES if environment.get(name)}
    if file:
        try:
            sources[str(file)] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--token-file {file} cannot be read: {error}") from error
    tokens: dict[str, str] = {}
    for place, text in sources.items():
        lines = [line.split("#")[0].split() for line in text.splitlines()]
        tokens |= dict(_user(words, place) for words in lines if words)
    if file and not tokens:
        raise InputError(f"--token-file {file} has no token; write one line: NAME TOKEN")
    return tokens


def _user(words: list[str], place: str) -> tuple[str, str]:
    *name, token = words
    if len(name) > 1:
        raise InputError(f"{place} has a line of {len(words)} words; write: NAME TOKEN")
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii():
        raise InputError(
            f"{place} has a token of {len(token)} characters; take {MIN_TOKEN_LENGTH} or more of "
            "ASCII, as from: openssl rand -hex 32"
        )
    return token, (name or [NAMELESS])[0]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
