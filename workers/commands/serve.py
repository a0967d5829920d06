"""`metaopt serve`: the runs in a folder, seen and controlled from a browser and over HTTP."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from taskset.errors import InputError

INSTALL = "pip install 'metaopt[service]'"


@dataclasses.dataclass(frozen=True)
class Serve:
    """Serves the runs in a folder, or at a URL, until it is stopped by SIGTERM or Ctrl-C.

    To others than this machine only with a token: --token-file, or METAOPT_SERVICE_TOKEN.
    See docs/service.md.
    """

    runs: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUNS")] = "runs"
    host: str = "127.0.0.1"  # address to listen on
    port: int = 8700  # 0 for any free one
    token_file: Path | None = None  # lines "NAME TOKEN"
    allow_host: tuple[str, ...] = ()  # names that it goes by besides, as behind a proxy
    read_only: bool = False  # start, stop and change nothing
    index: Path | None = None  # file of the index, which can be deleted; on a local disk
    rate: float = 500.0  # requests per second of each user or address; 0 for no limit
    change_rate: float = 2.0  # the same of requests that change something
    launcher: Literal["process", "ray"] = "process"  # runs on this machine, or as jobs of a cluster
    ray_address: str | None = None  # of the dashboard; http://127.0.0.1:8265 by default
    recipes: Path | None = None  # folder of TOML files to start from; by default those shipped
    max_workers: int = 64  # that a run may have
    price_per_core_hour: float | None = None  # for the cost in plans
    currency: str = ""  # of that price, as EUR

    def run(self) -> int:
        """Returns 0 when it was asked to stop."""
        try:
            from workers.service import server
            from workers.service.settings import Settings, read_tokens
        except ModuleNotFoundError as error:
            if error.name not in ("fastapi", "uvicorn", "starlette", "orjson"):
                raise
            raise InputError(f"`metaopt serve` needs {error.name}: {INSTALL}") from error
        server.serve(
            Settings(
                root=self.runs,
                host=self.host,
                port=self.port,
                index=self.index,
                tokens=read_tokens(self.token_file),
                allowed_hosts=self.allow_host,
                read_only=self.read_only,
                rate=self.rate,
                change_rate=self.change_rate,
                launcher=self.launcher,
                ray_address=self.ray_address,
                recipes=self.recipes,
                max_workers=self.max_workers,
                price=self.price_per_core_hour,
                currency=self.currency,
            )
        )
        return 0
