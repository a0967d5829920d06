"""Densities of images by masked autoregressive flows."""

import functools
from collections.abc import Mapping
from typing import Any

from taskset.configured import TaskSpec
from taskset.families.densities import build_density
from taskset.networks.made import Degrees, autoregressive
from taskset.options import Options


def build(config: Mapping[str, Any], options: Options) -> TaskSpec:
    """The task of a configuration of `maf_family`.

    The released masks leave networks narrower than the data no way from input to output: their
    shifts and scales are the biases of the last layer. As intended, masks suit any width.
    """
    degrees: Degrees = "blocks" if options.released else "even"
    return build_density(config, options, functools.partial(autoregressive, degrees=degrees))
