"""Prints what metaopt needs to run, one requirement a line: `dependencies.py cpu`, or cuda."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
optional = project["optional-dependencies"]
extras = {"cpu": [], "cuda": optional["cuda"]}
print(*project["dependencies"], *optional["service"], *extras[sys.argv[1]], sep="\n")
