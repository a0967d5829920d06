"""`metaopt optimizers`: the learned optimizers, what each takes, and weights of others."""

import dataclasses
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from workers.commands.table import print_record, print_records

# JAX is imported by `run`, not before: help is instant.


@dataclasses.dataclass(frozen=True)
class OptimizersList:
    """Lists the learned optimizers with their sizes, state, operations and papers."""

    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per learned optimizer, at its defaults."""
        from metaopt.cost_card import cost_card
        from metaopt.learned_optimizers import KINDS

        cards = [cost_card(kind())._asdict() for kind in KINDS.values()]
        print_records([{k: card[k] for k in card if k != "features"} for card in cards], self.json)
        return 0


@dataclasses.dataclass(frozen=True)
class OptimizersShow:
    """Shows one learned optimizer: its settings, inputs, state, operations and paper.

    State and operations are for each parameter of a matrix [256, 256], or a vector of as many, in
    float32; what it has once for a tensor counts in them. Operations are those of one update, as
    XLA counts them before it compiles.
    """

    kind: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="KIND")]
    # settings that are not the defaults, as lstm_size=128
    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="FIELD=VALUE")] = ()
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per fact."""
        from metaopt.cost_card import cost_card
        from metaopt.learned_optimizers.base import LearnedOptimizer
        from workers import strict_toml
        from workers.config import SCHEMA

        table = {"kind": self.kind, **_table(self.settings)}
        optimizer = strict_toml.from_table(LearnedOptimizer, table, SCHEMA, at="optimizer")
        record = cost_card(optimizer)._asdict()
        features: Mapping[str, Any] = record.pop("features")
        record |= {f"features_per_{level}": numbers for level, numbers in features.items()}
        print_record(record | {"settings": dataclasses.asdict(optimizer)}, self.json)
        return 0


@dataclasses.dataclass(frozen=True)
class OptimizersImport:
    """Writes weights of VeLO or Celo, as their authors published them, as an export.

    Reads VeLO's file `params` and Celo's `theta.state`, in the layout of flax, at most 256 MB and
    never a pickle. The two flags are for weights of VeLO older than those of the paper.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    out: Path  # folder to make
    equal_averages: bool = False  # all averages of the loss are as short as the shortest
    forgets: bool = False  # what LSTMs remember does not go on

    def run(self) -> int:
        """Prints what it found, where the export is, and five lines that use it."""
        from metaopt import exports, model_card
        from metaopt.learned_optimizers import importers

        exports.check_new(self.out)
        flags = {"equal_averages": self.equal_averages, "forgets": self.forgets}
        optimizer, meta_params = importers.load(self.file, **flags)
        provenance = {
            "imported from": self.file.name,
            "sha256 of that": hashlib.sha256(self.file.read_bytes()).hexdigest(),
            "license": "other",  # that of its authors
        }
        exports.export(self.out, optimizer, meta_params, provenance=provenance)
        print(f"imported {type(optimizer).__name__} from {self.file} to {self.out}\n")
        print(model_card.snippet(str(self.out), num_steps=1000), end="")
        return 0


def _table(settings: Sequence[str]) -> dict[str, Any]:
    """The values that "name=value" give: as in TOML, or words."""
    from taskset.errors import InputError

    table = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set is {setting!r}; it must be FIELD=VALUE, as hidden_size=8")
        try:
            table[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            table[name] = text
    return table
