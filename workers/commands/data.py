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
    rebuild: bool = False  # build it again, in place of what is on disk

    def run(self) -> int:
        """Prints what the data set is, and where it lies."""
        from taskset.data import sources

        info = sources.prepare(self.name, self.source, download=self.download, rebuild=self.rebuild)
        print_record(_located(info))
        return 0


@dataclasses.dataclass(frozen=True)
class DataVerify:
    """Reads a data set on disk, all of it, and checks it against its fingerprint."""

    # as mnist, or emnist/letters
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    source: str = "tfds"  # or embedded

    def run(self) -> int:
        """Prints what the data set is, and where it lies; a damaged one is an error."""
        from taskset.data import sources

        print_record(_located(sources.verify(self.name, self.source)))
        return 0


def _record(name: str, source: str) -> dict[str, Any]:
    """One row of the list; a damaged data set does not keep the others from being listed."""
    from taskset.data import sources, store
    from taskset.errors import InputError

    row = {"data set": name, "source": source, "kind": sources.kind_of(name, source)}
    unknown = dict.fromkeys(("shape", "classes", "examples", "fingerprint"))
    if not store.path_of(name, source).exists():
        first_use = "at first use" if source == "embedded" else "no"
        return row | {"prepared": first_use} | unknown
    try:
        known = _facts(sources.recorded(name, source))
    except InputError:
        return row | {"prepared": "damaged"} | unknown
    return row | {"prepared": "yes"} | {fact: known.get(fact) for fact in unknown}


def _located(info: Any) -> dict[str, Any]:
    from taskset.data import store

    return _facts(info) | {"file": str(store.path_of(info.name, info.source))}


def _facts(info: Any) -> dict[str, Any]:
    return {
        "data set": info.name,
        "source": info.source,
        "kind": info.kind,
        **info.summary(),
        "examples": dict(info.num_examples),
        "fingerprint": info.fingerprint[:16],
    }
