"""Which configurations can be built: some stacks of convolutions shrink an image to nothing."""

from taskset.configs.datasets import image_side
from taskset.configs.registry import config, split_name
from taskset.errors import InputError

KERNEL_SIDE = 3  # of every convolution that a family draws


class InfeasibleTask(InputError):
    """A configuration that exists and cannot be built."""


def feasible(name: str) -> bool:
    """Whether the task can be built. Raises `InputError` for a name that is of no sampled task."""
    return infeasible_reason(name) is None


def check_feasible(name: str) -> None:
    """Raises `InfeasibleTask` when the task cannot be built, and `InputError` for a bad name."""
    reason = infeasible_reason(name)
    if reason is not None:
        raise InfeasibleTask(f"{name} cannot be built: {reason}; choose another seed")


def infeasible_reason(name: str) -> str | None:
    """Which convolution finds its input too small, or None when the task can be built.

    The input is counted after the crop of the augmentation. Raises `InputError` for a name that is
    of no sampled task.
    """
    family, _ = split_name(name)
    if family not in ("conv_fc_family", "conv_pooling_family"):
        return None
    values = config(name)
    side = image_side(values["dataset"])
    depth = len(values["strides"])
    for layer, ((stride, _), padding) in enumerate(
        zip(values["strides"], values["padding"], strict=True), start=1
    ):
        if padding == "VALID" and side < KERNEL_SIDE:
            return (
                f"convolution {layer} of {depth} (VALID padding) needs an input of at least "
                f"{KERNEL_SIDE}x{KERNEL_SIDE} and gets {side}x{side}"
            )
        side = convolved_side(side, stride, padding)
    return None


def convolved_side(side: int, stride: int, padding: str) -> int:
    """The side of the output of a 3x3 convolution of a side x side image."""
    covered = side if padding == "SAME" else side - KERNEL_SIDE + 1
    return -(-covered // stride)
