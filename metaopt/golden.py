"""A reference trajectory: whoever loads an optimizer can see that it does what it did.

Ten updates of four tensors, of up to 4 axes, by fixed gradients that grow with the parameters. Any
port of an exported optimizer, in any framework, can be compared with it. Needs no JAX.
"""

from collections.abc import Mapping

import numpy as np

NUM_STEPS = 10
# The length of training that is announced. Were it as short, averages of the loss over spans up to
# it would all be the same, and features made of their differences nothing but rounding.
HORIZON = 100
Shapes = Mapping[str, tuple[int, ...]]
# The largest two axes of a kernel, which some optimizers treat apart, need not be side by side.
SHAPES: Shapes = {
    "matrix": (4, 3),
    "scalar": (),
    "vector": (3,),
    "kernel": (3, 2, 2, 4),
}
GRADIENT_OF_PARAM = 0.1  # gradient = noise of the step + this * parameter
TOLERANCE = 1e-3  # of the distance travelled; platforms differ in the last digits


def inputs() -> dict[str, np.ndarray]:
    """Start "param/NAME" and noise "noise/NAME", [NUM_STEPS, ...], by name, float32."""
    draw = np.random.RandomState(0)
    arrays = {}
    for name, shape in SHAPES.items():
        arrays[f"param/{name}"] = np.asarray(draw.randn(*shape), np.float32)
        arrays[f"noise/{name}"] = draw.randn(NUM_STEPS, *shape).astype(np.float32)
    return arrays


def array_shapes(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a trajectory of tensors with these shapes, by name."""
    steps = {
        f"{what}/{name}": (NUM_STEPS, *shape)
        for what in ("noise", "after")
        for name, shape in shapes.items()
    }
    return {**{f"param/{name}": shape for name, shape in shapes.items()}, **steps}


def part(arrays: Mapping[str, np.ndarray], what: str) -> dict[str, np.ndarray]:
    """The arrays of "param", "noise" or "after" by the name of their tensor."""
    pairs = ((name.partition("/"), array) for name, array in arrays.items())
    return {name: array for (kind, _, name), array in pairs if kind == what}


def deviation(after: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> float:
    """The greatest distance from the reference, as a share of the distance that it travels.

    `after` are the parameters after each update, [NUM_STEPS, ...], by the name of the tensor.
    """
    shares = []
    for name, expected in part(reference, "after").items():
        travelled = np.max(np.abs(expected - reference[f"param/{name}"][None]))
        # A last digit in each step is no error, which counts for parameters that hardly move.
        rounding = NUM_STEPS * np.spacing(np.max(np.abs(expected)))
        error = np.maximum(np.max(np.abs(after[name] - expected)) - rounding, 0)
        shares.append(float(error / travelled) if travelled > 0 else float(error))
    return float(np.nan_to_num(np.max(shares), nan=np.inf))
