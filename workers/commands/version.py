"""`metaopt version`."""

import dataclasses
import importlib.metadata
import platform

LIBRARIES = ("metaopt", "jax", "jaxlib", "numpy", "optax", "ray")


@dataclasses.dataclass(frozen=True)
class Version:
    """Prints the versions of metaopt and of the libraries that decide what it computes."""

    def run(self) -> int:
        """Prints one line per library."""
        for name in LIBRARIES:
            print(name, importlib.metadata.version(name))
        print("python", platform.python_version())
        return 0
