"""Whether a derivative is zero by the structure of a program, whatever its numbers."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal


def is_detached(function: Callable[[Any], Any], arguments: Mapping[str, Any], name: str) -> bool:
    """Whether no derivative leads from `arguments[name]` to a result of `function(arguments)`.

    Only traces it. The tangent of the result is followed back: JAX keeps zeros out of tangents, so
    one that depends on nothing is a zero of the program itself.
    """

    def tangent(direction: Any) -> Any:
        along = lambda argument: function({**arguments, name: argument})
        return jax.jvp(along, (arguments[name],), (direction,))[1]

    jaxpr = jax.make_jaxpr(tangent)(jax.tree.map(jnp.ones_like, arguments[name])).jaxpr
    reached = set(jaxpr.invars)
    depends = lambda atoms: any(not isinstance(a, Literal) and a in reached for a in atoms)
    for equation in jaxpr.eqns:
        if depends(equation.invars):
            reached.update(equation.outvars)
    return not depends(jaxpr.outvars)
