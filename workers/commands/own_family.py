"""A task family of the user's own, by the module and name under which Python finds it."""

import difflib
import importlib
import os
import sys
from typing import Any

from taskset.base import TaskFamily
from taskset.errors import InputError


def own_family(path: str) -> TaskFamily:
    """The family at "module:Family", a class made with its defaults or an instance.

    Modules of the working folder are found. Raises `InputError` when there is none, or it cannot be
    imported or made.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise InputError(f"{path!r} is not MODULE:FAMILY, as in my_tasks:MyFamily")
    module = _imported(module_name)
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, dir(module), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"module {module_name!r} has no {name!r}{hint}")
    found = getattr(module, name)
    family = _made(path, found) if isinstance(found, type) else found
    if not isinstance(family, TaskFamily):
        raise InputError(f"{path} is no taskset.TaskFamily, but of type {type(family).__name__}")
    return family


def _imported(module_name: str) -> Any:
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"module {error.name!r} is not found; run in the folder that it is in"
        ) from error
    except Exception as error:
        raise InputError(
            f"module {module_name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(os.getcwd())


def _made(path: str, family: type) -> Any:
    try:
        return family()
    except Exception as error:
        raise InputError(
            f"{path} cannot be made without arguments: {error}; give its fields defaults, or name "
            "an instance in the module"
        ) from error
