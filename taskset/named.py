"""The tasks of TaskSet by their released names (https://arxiv.org/abs/2002.11887)."""

import dataclasses
import functools
import importlib

from taskset import configs, fixed
from taskset.configured import ConfiguredFamily, TaskSpec
from taskset.errors import unknown_name
from taskset.options import Buckets, Fidelity, Options, Source

# The module of each sampled family; its `build` makes a task of a configuration.
MODULES = {
    "mlp_family": "taskset.families.mlp",
    "mlp_ae_family": "taskset.families.mlp_ae",
    "mlp_vae_family": "taskset.families.mlp_vae",
    "conv_fc_family": "taskset.families.conv_fc",
    "conv_pooling_family": "taskset.families.conv_pooling",
    "nvp_family": "taskset.families.nvp",
    "maf_family": "taskset.families.maf",
    "quadratic_family": "taskset.families.sampled_quadratic",
    "losg_tasks_family": "taskset.families.losg_tasks",
    "char_rnn_language_model_family": "taskset.families.rnn_language_model",
    "word_rnn_language_model_family": "taskset.families.rnn_language_model",
    "rnn_text_classification_family": "taskset.families.rnn_text_classification",
}


@dataclasses.dataclass(frozen=True)
class NamedFamily(ConfiguredFamily):
    """A sampled configuration, "mlp_family_seed7", or a fixed task, "TwoD_Rosenbrock".

    Its tasks differ in their random start, their minibatches, and what else a task draws. See
    `Options` for the fields. Raises `InputError` for an unknown name or value, and
    `InfeasibleTask` for a configuration that cannot be built.
    """

    name: str
    source: Source = "embedded"
    fidelity: Fidelity = "intended"
    buckets: Buckets = "exact"

    def __post_init__(self) -> None:
        Options(self.source, self.fidelity, self.buckets)
        check_name(self.name)
        if self.name not in fixed_names():
            configs.check_feasible(self.name)

    @property
    def spec(self) -> TaskSpec:
        """The template, data and batch size of the configuration."""
        return _build(self.name, Options(self.source, self.fidelity, self.buckets))


def names() -> tuple[str, ...]:
    """The 12 sampled families; their tasks are `f"{name}_seed{seed}"`."""
    return configs.names()


@functools.lru_cache(maxsize=1)
def fixed_names() -> tuple[str, ...]:
    """The 109 fixed tasks."""
    return tuple(fixed.tasks())


def check_name(name: str) -> None:
    """Raises `InputError`, with the nearest name, when no task of TaskSet has this one."""
    if name in fixed_names():
        return
    if "_seed" not in name:
        examples = [f"{family}_seed0" for family in names()]
        raise unknown_name("task", name, [*fixed_names(), *examples])
    configs.split_name(name)


@functools.lru_cache(maxsize=512)
def _build(name: str, options: Options) -> TaskSpec:
    if name in fixed_names():
        return fixed.tasks()[name](options)
    family, _ = configs.split_name(name)
    return importlib.import_module(MODULES[family]).build(configs.config(name), options)
