"""The configurations that a service offers to start from: a folder of TOML files.

The title of a recipe is the first sentence of the comment that its file begins with.
"""

import itertools
import re
import tomllib
from pathlib import Path

import workers
from metaopt.client.models import NAME, Recipe
from taskset.errors import InputError, unknown_name
from workers.service import overrides

PACKAGED = Path(__file__).with_name("recipes")  # where the wheel has them


def bundled() -> Path:
    """The folder of the recipes of this version; in a clone, that of the repository."""
    return PACKAGED if PACKAGED.is_dir() else Path(workers.__file__).parents[1] / "recipes"


class Recipes:
    """The recipes in a folder, as they are when it is made."""

    def __init__(self, folder: Path | None = None):
        """Raises `InputError` for a folder that is not there, and a recipe that cannot be used."""
        folder = folder or bundled()
        if not folder.is_dir():
            raise InputError(f"--recipes {folder} is not a folder; give one of TOML files")
        found = [_recipe(path) for path in sorted(folder.glob("*.toml"))]
        self._by_name = {recipe.name: recipe for recipe in found}

    def all(self) -> list[Recipe]:
        """By name."""
        return list(self._by_name.values())

    def one(self, name: str) -> Recipe:
        """Raises `InputError`, with the nearest name, when there is none."""
        if name not in self._by_name:
            raise unknown_name("recipe", name, self._by_name)
        return self._by_name[name]


def _recipe(path: Path) -> Recipe:
    if not re.fullmatch(NAME, path.stem):
        raise InputError(f"{path}: the name of a recipe has only letters, digits, '.', '_', '-'")
    try:
        config = path.read_text(encoding="utf-8")
        tomllib.loads(config)
        resolved = overrides.resolve(config, {}, overrides.Limits(max_workers=2**31))
    except (OSError, ValueError) as error:  # InputError is a ValueError
        raise InputError(f"recipe {path}: {error}") from error
    title = _first_sentence(config) or path.stem
    return Recipe(name=path.stem, title=title, config=config, fields=overrides.fields(resolved))


def _first_sentence(config: str) -> str:
    comment = itertools.takewhile(lambda line: line.startswith("# "), config.splitlines())
    return re.split(r"(?<=[.?!]) ", " ".join(line[2:].strip() for line in comment))[0]
