"""`LearnedOptimizer`: an export as an optimizer of Keras 3, on its JAX backend.

    import metaopt.keras
    model.compile(optimizer=metaopt.keras.LearnedOptimizer("path/to/export"), loss=...)

Keras updates one variable at a time and does not say what the loss is. So it is for architectures
that look at nothing but the tensor that they move; others are refused.
"""

import os
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from metaopt import exports
from metaopt.learned_optimizers import LearnedOptimizer as Architecture
from metaopt.learned_optimizers.hand_designed import HandDesigned
from taskset.errors import InputError


class LearnedOptimizer(keras.optimizers.Optimizer):
    """A learned optimizer that was exported to the folder `path`.

    `learning_rate`, a number or a schedule of Keras, multiplies its updates; `weight_decay`,
    clipping, averages and gradient accumulation are those of Keras. `num_steps` announces the
    length of training. With `check` the reference trajectory is run first.

    Raises `InputError` as `metaopt.load` does, where Keras has another backend, and for
    architectures that look at the loss or at all tensors together.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        learning_rate: Any = 1.0,
        *,
        num_steps: int | None = None,
        check: bool = True,
        name: str = "learned_optimizer",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **options)
        if keras.backend.backend() != "jax":
            raise InputError(
                f"Keras has the backend {keras.backend.backend()!r}; set KERAS_BACKEND=jax, "
                "or use metaopt.torch"
            )
        if check:
            exports.load(path)
        exported = exports.read(path)
        _check_suits(exported.optimizer)
        self._path, self._num_steps = os.fspath(path), num_steps
        self._transformation = exported.optimizer.as_optax(
            exported.meta_params, num_steps=num_steps
        )

    def build(self, variables: Any) -> None:
        """Makes the state of each variable."""
        if self.built:
            return
        super().build(variables)
        self._state_of, self._structure_of = [], []
        for variable in variables:
            param = jnp.asarray(variable.value)
            leaves, structure = jax.tree.flatten(self._transformation.init(param))
            self._state_of.append([self._kept(leaf, variable, i) for i, leaf in enumerate(leaves)])
            self._structure_of.append(structure)

    def _kept(self, leaf: Any, variable: Any, index: int) -> Any:
        start = np.asarray(leaf)
        begin: Any = lambda shape, dtype: jnp.asarray(start, dtype)  # keras says it is a name
        return self.add_variable(
            shape=leaf.shape,
            initializer=begin,
            dtype=str(leaf.dtype),
            name=f"{variable.name}_{index}",
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves one variable, and its state."""
        index = self._get_variable_index(variable)
        kept = self._state_of[index]
        state = jax.tree.unflatten(self._structure_of[index], [x.value for x in kept])
        gradient = jnp.asarray(gradient, variable.dtype)
        update, state = self._transformation.update(gradient, state, variable.value)
        for old, new in zip(kept, jax.tree.leaves(state), strict=True):
            old.assign(new)
        self.assign_add(variable, jnp.asarray(learning_rate, variable.dtype) * jnp.asarray(update))

    def get_config(self) -> dict[str, Any]:
        """With the path of the export, which has to be there when a model is loaded."""
        ours = {"path": self._path, "num_steps": self._num_steps}
        return super().get_config() | ours


def _check_suits(optimizer: Architecture) -> None:
    kind = type(optimizer).__name__
    if "value" in optimizer.uses:
        raise InputError(f"{kind} looks at the loss, which Keras does not give; use metaopt.load")
    is_one_of_many = isinstance(optimizer, HandDesigned) and optimizer.num_tensors > 1
    if set(optimizer.features) != {"parameter"} or is_one_of_many:
        raise InputError(
            f"{kind} looks at all tensors together, and Keras updates one at a time; "
            "use metaopt.load"
        )
