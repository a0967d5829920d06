"""Densities of images by Real NVP."""

import functools
from collections.abc import Mapping
from typing import Any

from taskset.configured import TaskSpec
from taskset.families.densities import build_density
from taskset.networks.coupling import coupling
from taskset.options import Options


def build(config: Mapping[str, Any], options: Options) -> TaskSpec:
    """The task of a configuration of `nvp_family`.

    The released log-scales have no limits, and overflow from large initial weights; as intended,
    they have those of `maf_family`.
    """
    return build_density(config, options, functools.partial(coupling, bound=not options.released))
