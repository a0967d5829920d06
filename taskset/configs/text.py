"""Configurations of the families on text: language models and classification."""

from typing import Any

import numpy as np

from taskset.configs.datasets import language_model_dataset, text_dataset
from taskset.configs.draws import coin, flag, initializer, log_integer, rnn_core
from taskset.distributions import one_of


def sample_char_rnn_language_model(rng: np.random.RandomState) -> dict[str, Any]:
    """A model of bytes; `w_init` is of the output layer only."""
    return {
        "embed_dim": log_integer(rng, 8, 128),
        "w_init": initializer(rng),
        "vocab_size": 256 if coin(rng, 0.8) else log_integer(rng, 100, 256),
        "core": rnn_core(rng),
        "trainable_init": flag(rng),
        "dataset": language_model_dataset(rng, "bytes", max_patch_length=160),
    }


def sample_word_rnn_language_model(rng: np.random.RandomState) -> dict[str, Any]:
    """A model of subwords; `vocab_size` may be larger than the 8 thousand that encoders have."""
    return {
        "embed_dim": log_integer(rng, 8, 128),
        "w_init": initializer(rng),
        "vocab_size": log_integer(rng, 1000, 30000),
        "core": rnn_core(rng),
        "trainable_init": flag(rng),
        "dataset": language_model_dataset(rng, "subwords8k", max_patch_length=256),
    }


def sample_rnn_text_classification(rng: np.random.RandomState) -> dict[str, Any]:
    """A classifier of texts; `loss_compute` says which outputs over time it reads."""
    return {
        "embed_dim": log_integer(rng, 8, 128),
        "w_init": initializer(rng),
        "dataset": text_dataset(rng),
        "vocab_size": log_integer(rng, 100, 10000),
        "core": rnn_core(rng),
        "trainable_init": flag(rng),
        "loss_compute": one_of(rng, ("last", "avg", "max")),
    }
