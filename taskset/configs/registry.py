"""Names of sampled tasks, "mlp_family_seed7", and the configurations that they stand for."""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from taskset.configs import images, text
from taskset.configs.losg import sample_losg
from taskset.configs.quadratic import sample_quadratic
from taskset.errors import InputError, unknown_name

# Plain values that JSON can hold: a dict, or of losg_tasks_family a list [kind, settings, seed].
Config: TypeAlias = Any


class SampledFamily(NamedTuple):
    """How the configurations of a family are drawn."""

    seed_offset: int  # added to the seed in the name
    sample: Callable[[np.random.RandomState], Config]


FAMILIES = {
    "mlp_family": SampledFamily(99123491, images.sample_mlp),
    "mlp_ae_family": SampledFamily(0, images.sample_mlp_ae),
    "mlp_vae_family": SampledFamily(0, images.sample_mlp_vae),
    "conv_fc_family": SampledFamily(0, images.sample_conv_fc),
    "conv_pooling_family": SampledFamily(0, images.sample_conv_pooling),
    "nvp_family": SampledFamily(123919936, images.sample_flow),
    "maf_family": SampledFamily(6123348, images.sample_flow),
    "quadratic_family": SampledFamily(0, sample_quadratic),
    "losg_tasks_family": SampledFamily(0, sample_losg),
    "char_rnn_language_model_family": SampledFamily(0, text.sample_char_rnn_language_model),
    "word_rnn_language_model_family": SampledFamily(0, text.sample_word_rnn_language_model),
    "rnn_text_classification_family": SampledFamily(0, text.sample_rnn_text_classification),
}


def names() -> tuple[str, ...]:
    """The names of the 12 families of which configurations are drawn."""
    return tuple(FAMILIES)


def split_name(name: str) -> tuple[str, int]:
    """The family and the seed of a sampled task: ("mlp_family", 7) for "mlp_family_seed7".

    Raises `InputError` when the name is not of this form, the family is unknown, or the seed is
    too large for numpy with the offset of the family.
    """
    match = re.fullmatch(r"(.+)_seed(0|[1-9][0-9]*)", name)
    if not match:
        raise InputError(f"task {name!r} is no family with a seed; write it as mlp_family_seed7")
    family, digits = match.groups()
    if family not in FAMILIES:
        raise unknown_name("task family", family, FAMILIES)
    # Eleven digits are too many already, and Python refuses to convert some thousands of them.
    seed = int(digits[:11])
    largest = 2**32 - 1 - FAMILIES[family].seed_offset
    if seed > largest:
        raise InputError(f"seed of {family} is {digits[:20]}; it must be at most {largest}")
    return family, seed


def config(name: str) -> Config:
    """The configuration with this name, as TaskSet released it (https://arxiv.org/abs/2002.11887).

    Seeds 0 to 999 give the released values, to the last few units of precision; larger ones go on
    with the same sampler. It is of plain values, the caller's own, and may be one that cannot be
    built: see `feasible`. Raises `InputError` as `split_name` does.
    """
    family, seed = split_name(name)
    seed_offset, sample = FAMILIES[family]
    return sample(np.random.RandomState(seed + seed_offset))


def to_json(family: str, seeds: Iterable[int]) -> dict[str, list[Any]]:
    """Configurations in the layout of the released files: name -> [configuration, family].

    Sorted by name, so seed 10 comes before seed 2. Raises `InputError` as `split_name` does.
    """
    tasks = sorted(f"{family}_seed{seed}" for seed in seeds)
    return {name: [config(name), family] for name in tasks}
