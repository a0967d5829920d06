"""The fixed tasks that are language models: bytes of lm1b, in windows of 128."""

from functools import partial
from typing import Any

from taskset.configured import TaskSpec
from taskset.data.text_data import TextData
from taskset.families.rnn_language_model import BUCKETS, language_model
from taskset.families.text_inputs import TextSpec
from taskset.options import Options

WEIGHTS = {
    "lstm": ("w_gates",),
    "gru": ("wz", "wr", "wh", "uz", "ur", "uh"),
    "vrnn": ("in_to_hidden", "hidden_to_hidden"),
}
DEFAULTS = {"lstm": "default", "gru": "glorot_uniform", "vrnn": "default"}


def core(kind: str, core_dim: int, activation: str = "tanh") -> list[Any]:
    """A "lstm", "gru" or "vrnn" with the initialisers that Sonnet gives them by default.

    In the layout of a sampled configuration. The activation is that of a vrnn.
    """
    weights = {name: [DEFAULTS[kind], None] for name in WEIGHTS[kind]}
    return [kind, {"core_dim": core_dim, "act_fn": activation} | weights]


def _language_model(options: Options, kind: str, core_dim: int) -> TaskSpec:
    """Unlike in sampled tasks, the released loss does not count padding either."""
    config: dict[str, Any] = {
        "core": core(kind.lower(), core_dim),
        "embed_dim": 64,
        "vocab_size": 256,
        "trainable_init": True,
        "w_init": ["default", None],
    }
    data = TextData(
        "lm1b",
        options.source,
        "bytes",
        patch_length=128,
        padded_length=BUCKETS["bytes"].patch_length if options.padded else None,
        last_window=not options.released,
    )
    spec = TextSpec(data, 128, options.padded)
    task = language_model(config, options, BUCKETS["bytes"], count_padding=False)
    return TaskSpec(task, spec, spec.padded_batch_size)


CORES = (("GRU", 64), ("GRU", 128), ("GRU", 256), ("LSTM", 128), ("LSTM", 256))
TASKS = {
    f"FixedLM_lm1b_patch128_{kind}{core_dim}_embed64_avg_bs128": partial(
        _language_model, kind=kind, core_dim=core_dim
    )
    for kind, core_dim in CORES
}
