"""The fixed tasks with recurrent networks: their names, sizes and starts."""

import jax
import numpy as np
import pytest

from taskset import configs
from taskset.fixed import language_models, sequences, text_rnn
from taskset.named import NamedFamily
from taskset.options import Options

TASKS = language_models.TASKS | text_rnn.TASKS | sequences.TASKS
IRNN = "FixedTextRNNClassification_imdb_patch32_IRNN64_relu_last_bs128"


def num_parameters(name, options=Options()):
    params = jax.eval_shape(TASKS[name](options).template.init, jax.random.key(0))
    return sum(p.size for p in jax.tree.leaves(params))


def test_there_are_as_many_as_in_the_release():
    assert [len(module.TASKS) for module in (language_models, text_rnn, sequences)] == [5, 12, 18]
    assert {"Associative_GRU128_BS128_Pairs10_Tokens50", "Copy_LSTM128_BS128_Length20_Tokens10"} < {
        *TASKS
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "FixedLM_lm1b_patch128_GRU64_embed64_avg_bs128",
            256 * 64 + 3 * 64 * (64 + 64 + 1) + 64 + 65 * 256,
        ),
        (
            "FixedLM_lm1b_patch128_LSTM256_embed64_avg_bs128",
            256 * 64 + 4 * 256 * (64 + 256 + 1) + 2 * 256 + 257 * 256,
        ),
        (
            "FixedTextRNNClassification_imdb_patch128_LSTM128_embed128_bs64",
            10_000 * 128 + 4 * 128 * (128 + 128 + 1) + 2 * 128 + 129 * 2,
        ),
        (IRNN, 10_000 * 64 + 64 * (64 + 64 + 2) + 64 + 65 * 2),
        ("Associative_LSTM256_BS128_Pairs40_Tokens100", 4 * 256 * (102 + 256 + 1) + 257 * 102),
        ("Copy_VRNN128_BS128_Length20_Tokens10", 128 * (12 + 128 + 2) + 129 * 12),
    ],
)
def test_parameters_are_as_many_as_by_hand(name, expected):
    assert num_parameters(name) == expected


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("buckets", ["exact", "padded"])
def test_batches_are_of_the_size_in_the_name(name, buckets):
    spec = TASKS[name](Options(buckets=buckets))
    assert f"bs{getattr(spec.data, 'batch_size', spec.batch_size)}" in name.lower()
    patch = getattr(spec.data, "data", None)
    assert patch is None or f"patch{patch.patch_length}_" in name


def test_irnn_starts_from_the_identity():
    for buckets in ("exact", "padded"):
        task = TASKS[IRNN](Options(buckets=buckets)).template
        params = jax.jit(task.init)(jax.random.key(0))
        weights = params["core"]["hidden_to_hidden"]
        padding = len(weights) - 64
        np.testing.assert_array_equal(weights, np.pad(np.eye(64), (0, padding)))


def test_language_models_never_count_padding():
    name = "FixedLM_lm1b_patch128_GRU64_embed64_avg_bs128"
    for fidelity in ("intended", "released"):
        assert not TASKS[name](Options(fidelity=fidelity)).template.count_padding


def test_fixed_language_models_share_the_programs_of_sampled_ones():
    options = Options(buckets="padded")
    fixed = NamedFamily("FixedLM_lm1b_patch128_GRU128_embed64_avg_bs128", buckets="padded")
    names = [f"char_rnn_language_model_family_seed{seed}" for seed in range(20)]
    wide = [n for n in names if configs.config(n)["core"][1]["core_dim"] > 64]
    gru = next(n for n in wide if configs.config(n)["core"][0] == "gru")
    assert fixed.program() == NamedFamily(gru, buckets="padded").program()
    assert jax.tree.leaves(TASKS[fixed.name](options).template)


@pytest.mark.parametrize(
    "name", ["Associative_LSTM128_BS128_Pairs5_Tokens20", "Copy_LSTM128_BS128_Length5_Tokens10"]
)
def test_sequence_tasks_start_near_the_loss_of_guessing_with_finite_gradients(name):
    family = NamedFamily(name)
    data, key = family.load_data(), jax.random.key(0)

    @jax.jit
    def run(data, key):
        task = family.sample(data, key)
        params = task.init(key)
        batch = data.sample("train", key, family.batch_size)
        return jax.value_and_grad(task.loss)(params, batch, key)

    loss, grads = run(data, key)
    vocab = TASKS[name](Options()).data.vocab_size
    assert abs(loss - np.log(vocab)) < 0.5
    assert all(np.all(np.isfinite(g)) and np.any(g) for g in jax.tree.leaves(grads))


def test_a_sequence_task_counts_the_masked_steps_only():
    spec = TASKS["Copy_VRNN128_BS128_Length20_Tokens10"](Options())
    task, key = spec.template, jax.random.key(0)
    params = jax.jit(task.init)(key)
    batch = spec.data.load().sample("train", key, 3)
    loss_of = jax.jit(task.loss)
    loss = loss_of(params, batch, key)
    other = batch["target"].at[:, :21].set(1)
    np.testing.assert_array_equal(loss_of(params, batch | {"target": other}, key), loss)
    changed = batch["target"].at[:, 21:].add(1)
    assert loss_of(params, batch | {"target": changed}, key) != loss
