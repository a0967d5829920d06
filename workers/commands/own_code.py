"""Code of the user's own, by the module and name under which Python finds it.

Importing runs it, so names come from the command line of the one who runs it, and nowhere else.
"""

import dataclasses
import difflib
import importlib
import inspect
import os
import sys
from typing import Any

from metaopt.hyperparameter_training import Training
from taskset.base import TaskFamily
from taskset.errors import InputError


def own_family(path: str) -> TaskFamily:
    """The family at "module:Family", a class made with its defaults or an instance.

    Modules of the working folder are found. Raises `InputError` when there is none, or it cannot be
    imported or made.
    """
    found = _find(path, "MODULE:FAMILY, as in my_tasks:MyFamily")
    family = _made(path, found) if isinstance(found, type) else found
    if not isinstance(family, TaskFamily):
        raise InputError(f"{path} is no taskset.TaskFamily, but of type {type(family).__name__}")
    return family


def own_training(path: str) -> type[Training]:
    """The class at "module:Class", a frozen dataclass; its fields are keys of configurations.

    Modules of the working folder are found. Raises `InputError` when there is none, or it is none.
    """
    found = _find(path, "MODULE:CLASS, as in my_training:MyTraining")
    if not (isinstance(found, type) and issubclass(found, Training)):
        raise InputError(f"{path} is no class of metaopt.hyperparameter_training.Training")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise InputError(f"{path} does not define {missing}; every training has to")
    if "__dataclass_params__" not in vars(found) or not dataclasses.is_dataclass(found):
        raise InputError(
            f"{path} is no dataclass of its own; put @dataclasses.dataclass(frozen=True) before it"
        )
    return found


def _find(path: str, form: str) -> Any:
    """What Python finds at "module:name"."""
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise InputError(f"{path!r} is not {form}")
    module = _imported(module_name)
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, dir(module), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"module {module_name!r} has no {name!r}{hint}")
    return getattr(module, name)


def _imported(module_name: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # to stay: workers look where this process does
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


def _made(path: str, family: type) -> Any:
    try:
        return family()
    except Exception as error:
        raise InputError(
            f"{path} cannot be made without arguments: {error}; give its fields defaults, or name "
            "an instance in the module"
        ) from error
