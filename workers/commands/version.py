"""`metaopt version`."""

import dataclasses
import importlib.metadata
import json
import platform

LIBRARIES = ("metaopt", "jax", "jaxlib", "numpy", "optax", "ray")


@dataclasses.dataclass(frozen=True)
class Version:
    """Prints the versions of metaopt and of the libraries that decide what it computes."""

    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one line per library."""
        versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
        versions["python"] = platform.python_version()
        if self.json:
            print(json.dumps(versions, indent=2))
        else:
            print(*(f"{name} {version}" for name, version in versions.items()), sep="\n")
        return 0
