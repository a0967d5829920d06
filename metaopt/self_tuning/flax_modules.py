"""Self-tuning networks out of flax modules as they are: some layers get a response, by name.

The elementary weights are the parameters of the module itself; whenever one of the chosen layers
has computed its activations, its correction is added to them. Needs flax: `pip install
metaopt[flax]`.
"""

import fnmatch
from collections.abc import Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import numpy as np

from metaopt.self_tuning import layers
from metaopt.self_tuning.layers import Draws
from metaopt.self_tuning.responses import BestResponse, Responsive
from taskset.errors import InputError


def init(
    module: nn.Module,
    draws: Draws,
    *inputs: Any,
    patterns: Sequence[str] = ("*",),
    **options: Any,
) -> BestResponse:
    """The parameters of `module` on `inputs`, and a response of each `Dense` and `Conv` chosen.

    Those are chosen whose path, as "encoder/Dense_0", fits one of `patterns`; `options` are further
    arguments of the module. Raises `InputError` for a pattern that fits none, and for modules with
    other variables than parameters.
    """
    key_params, key_response = jax.random.split(draws.key)
    found: dict[str, nn.Module] = {}

    def note(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext):
        if isinstance(context.module, nn.Dense | nn.Conv) and context.method_name == "__call__":
            found[_path(context.module)] = context.module
        return next_function(*args, **kwargs)

    with nn.intercept_methods(note):
        variables = module.init(key_params, *inputs, **options)
    if others := sorted(variables.keys() - {"params"}):
        raise InputError(
            f"{type(module).__name__} has variables {', '.join(others)} besides its parameters, "
            "which a best response has no place for; use layers without a state"
        )
    for pattern in patterns:
        if not fnmatch.filter(found, pattern):
            raise InputError(f"no Dense or Conv fits {pattern!r}; there are {', '.join(found)}")
    response = {}
    for index, path in enumerate(found):
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
            shape = _kernel(variables["params"], path).shape
            own = draws._replace(key=jax.random.fold_in(key_response, index))
            response[path] = layers.init_correction(own, shape, int(np.prod(shape[:-1])))
    return BestResponse(variables["params"], response)


def apply(module: nn.Module, params: Responsive, *inputs: Any, **options: Any) -> Any:
    """`module.apply` at the position of `params`; `options` are its own."""

    def respond(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext):
        plain = next_function(*args, **kwargs)
        layer = context.module
        if context.method_name != "__call__" or _path(layer) not in params.response:
            return plain
        response = params.response[_path(layer)]
        alone = layer.clone(parent=None, name=None, use_bias=False)
        weight: Any = {"params": {"kernel": response["weight"]}}
        product = cast(jax.Array, alone.apply(weight, *args, **kwargs))
        return plain + layers.correction(params.position, response, product)

    with nn.intercept_methods(respond):
        return module.apply({"params": params.elementary}, *inputs, **options)


def _path(module: nn.Module) -> str:
    return "/".join(module.path)


def _kernel(params: Any, path: str) -> jax.Array:
    for name in path.split("/") if path else ():
        params = params[name]
    return params["kernel"]
