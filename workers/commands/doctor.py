"""`metaopt doctor`: what keeps this machine from training, before a run finds out."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from workers import checkup
from workers.checkup import Finding
from workers.commands.table import print_records

FOUND_SOMETHING = 1


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Checks this machine, and at last trains something tiny from end to end on Ray.

    Exit status: 0; 1 when a check failed. A warning is no failure.
    """

    # the Ray cluster of the small run: "local" starts one, "auto" finds a running one, or host:port
    address: str = "local"
    out: Path = Path("runs")  # where run folders will be
    skip_run: bool = False  # leave out the small run, which takes about 20 seconds
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per check."""
        findings = list(self._findings())
        print_records([finding._asdict() for finding in findings], self.json)
        return FOUND_SOMETHING if any(f.state == "failed" for f in findings) else 0

    def _findings(self) -> Iterator[Finding]:
        yield checkup.versions()
        yield checkup.devices()
        yield checkup.shared_memory()
        yield checkup.disk(self.out)
        yield checkup.clock(self.out)
        yield checkup.ports()
        yield checkup.token()
        yield checkup.cache()
        if not self.skip_run:
            yield checkup.small_run(self.address)
