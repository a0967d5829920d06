"""`metaopt data`: the data sets of tasks, and how they get onto this machine."""

import dataclasses
from typing import Annotated, Any

import tyro

from workers.commands.table import print_record, print_records

# JAX is imported by `run`, not before: help is instant.


@dataclasses.dataclass(frozen=True)
class DataList:
    """Lists the data sets: those that come with the package, and some of tensorflow-datasets."""

    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per data set, with its facts if it is on disk. Prepares nothing."""
        from taskset.data import sources

        records = [
            _record(name, source) for source in sources.SOURCES for name in sources.names(source)
        ]
        print_records(records, self.json)
        return 0


@dataclasses.dataclass(frozen=True)
class DataPrepare:
    """Puts a data set on disk, so that tasks can use it. Does nothing when it is there."""

    # as mnist, or emnist/letters
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    source: str = "tfds"  # or embedded
    download: bool = False  # allow the network; without it, nothing is ever downloaded

    def run(self) -> int:
        """Prints what the data set is, and where it lies."""
        from taskset.data import sources, store

        info = sources.prepare(self.name, self.source, download=self.download)
        print_record(_facts(info) | {"file": str(store.path_of(self.name, self.source))})
        return 0


def _record(name: str, source: str) -> dict[str, Any]:
    from taskset.data import store

    path = store.path_of(name, source)
    facts = ("image", "classes", "examples", "fingerprint")
    if not path.exists():
        first_use = "at first use" if source == "embedded" else "no"
        return {"data set": name, "source": source, "prepared": first_use, **dict.fromkeys(facts)}
    known = _facts(store.read_info(path))
    return {
        "data set": name,
        "source": source,
        "prepared": "yes",
        **{fact: known[fact] for fact in facts},
    }


def _facts(info: Any) -> dict[str, Any]:
    return {
        "data set": info.name,
        "source": info.source,
        "image": "x".join(map(str, info.image_shape)),
        "classes": info.num_classes,
        "examples": dict(info.num_examples),
        "fingerprint": info.fingerprint[:16],
    }
