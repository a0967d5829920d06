"""The configurations that a service offers to start from: a folder of TOML files.

The title of a recipe is the first sentence of the comment that its file begins with.
"""

import itertools
import re
import tomllib
from pathlib import Path

import workers
from metaopt.client.models import NAME, Recipe
from taskset.errors import InputError
from workers.service import overrides
from workers.service.resolved import Limits

PACKAGED = Path(__file__).with_name("shipped_recipes")  # where the wheel has them


def bundled() -> Path:
    """The folder of the recipes of this version; in a clone, that of the repository."""
    return PACKAGED if PACKAGED.is_dir() else Path(workers.__file__).parents[1] / "recipes"


def read(folder: Path | None = None) -> list[Recipe]:
    """The recipes in a folder, by default `bundled()`, in order of their names.

    Raises `InputError` for a folder that is not there, and a recipe that cannot be used.
    """
    folder = folder or bundled()
    if not folder.is_dir():
        raise InputError(f"--recipes {folder} is not a folder; give one of TOML files")
    return [_recipe(path) for path in sorted(folder.glob("*.toml"))]


def _recipe(path: Path) -> Recipe:
    if not re.fullmatch(NAME, path.stem):
        raise InputError(f"{path}: the name of a recipe has only letters, digits, '.', '_', '-'")
    try:
        config = path.read_text(encoding="utf-8")
        tomllib.loads(config)
        resolved = overrides.resolve(config, {}, Limits(max_workers=2**31))
    except (OSError, ValueError) as error:  # InputError is a ValueError
        raise InputError(f"recipe {path}: {error}") from error
    title = _first_sentence(config) or path.stem
    return Recipe(name=path.stem, title=title, config=config, fields=overrides.fields(resolved))


def _first_sentence(config: str) -> str:
    comment = itertools.takewhile(lambda line: line.startswith("# "), config.splitlines())
    return re.split(r"(?<=[.?!]) ", " ".join(line[2:].strip() for line in comment))[0]
