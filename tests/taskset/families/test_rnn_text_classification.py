"""The text classifiers' readouts and loss against plain numpy, and the data they are trained on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from padding import assert_padding_is_exact

from taskset import configs
from taskset.families.rnn_text_classification import (
    FUSED_NAME,
    READOUTS,
    RNNTextClassification,
    build,
)
from taskset.networks.choices import Choice
from taskset.networks.dims import Dim
from taskset.networks.initializers import initializer
from taskset.networks.recurrent import InitialState, LSTMCore, project
from taskset.networks.sequences import unroll
from taskset.networks.token_rnn import TokenRNN
from taskset.options import Options

DEFAULT = initializer("default", None)
FAMILY = "rnn_text_classification_family"
LENGTHS = (6, 4, 1)
STEPS = 6


def small_model(readout, count_padding=False):
    network = TokenRNN(Dim(9), LSTMCore(Dim(3), Dim(5), DEFAULT), InitialState(True))
    choice = Choice(READOUTS, np.int32(READOUTS.index(readout)))
    return RNNTextClassification(network, choice, DEFAULT, Dim(4), count_padding)


def small_batch():
    mask = np.arange(STEPS)[None] < np.asarray(LENGTHS)[:, None]
    tokens = np.random.RandomState(1).randint(1, 9, mask.shape) * mask
    label = jnp.asarray([3, 0, 2])
    return {"tokens": jnp.asarray(tokens), "mask": mask.astype(np.float32), "label": label}


@pytest.mark.parametrize("count_padding", [False, True])
@pytest.mark.parametrize("readout", READOUTS)
def test_loss_equals_numpy(readout, count_padding):
    task, batch, rng = small_model(readout, count_padding), small_batch(), np.random.RandomState(0)
    start = task.init(jax.random.key(0))
    params = jax.tree.map(lambda p: p + 0.5 * rng.randn(*p.shape).astype(np.float32), start)

    core = task.network.core
    weights = core.arrange(params["core"])
    state = tuple(jnp.tile(params["initial"][f"initial{i}"], (3, 1)) for i in range(2))
    projected = project(weights, params["embedding"][batch["tokens"].T])
    outputs = np.asarray(unroll(core, weights, state, projected, None)[1], np.float64)
    ends = (STEPS,) * 3 if count_padding else LENGTHS
    reduce = {"last": lambda x: x[-1], "avg": lambda x: x.mean(0), "max": lambda x: x.max(0)}
    features = np.stack([reduce[readout](outputs[:end, row]) for row, end in enumerate(ends)])
    output = jax.tree.map(lambda p: np.asarray(p, np.float64), params["output"])
    logits = features @ output["weight"] + output["bias"]
    expected = np.log(np.exp(logits).sum(1)) - logits[np.arange(3), batch["label"]]

    got = task.loss(params, batch, jax.random.key(0))
    np.testing.assert_allclose(got, expected.mean(), rtol=1e-5)


def test_what_is_not_read_has_no_gradient():
    task = small_model("last")
    batch = small_batch()
    params = jax.jit(task.init)(jax.random.key(0))
    grads = jax.jit(jax.grad(task.loss))(params, batch, jax.random.key(0))
    read = np.flatnonzero(np.any(np.asarray(grads["embedding"]) != 0, axis=1))
    np.testing.assert_array_equal(read, np.unique(batch["tokens"][batch["mask"] > 0]))
    assert 0 not in read


def number_of_parameters(config, num_classes):
    kind, settings = config["core"]
    embed, hidden = config["embed_dim"], settings["core_dim"]
    gates = {"vrnn": 1, "gru": 3, "lstm": 4}[kind]
    core = gates * hidden * (embed + hidden + 1) + (hidden if kind == "vrnn" else 0)
    states = (2 if kind == "lstm" else 1) * hidden if config["trainable_init"] else 0
    return min(config["vocab_size"], 8185) * embed + core + states + (hidden + 1) * num_classes


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("fidelity", "num_classes"), [("intended", None), ("released", 2)])
def test_the_parameters_are_those_of_the_configuration(seed, fidelity, num_classes):
    config = configs.config(f"{FAMILY}_seed{seed}")
    if num_classes is None:
        num_classes = 5 if "amazon" in config["dataset"][0] else 2
    template = build(config, Options(fidelity=fidelity)).template
    params = jax.eval_shape(template.init, jax.random.key(0))
    expected = number_of_parameters(config, num_classes)
    assert sum(p.size for p in jax.tree.leaves(params)) == expected


def test_the_1000_configurations_have_the_published_sizes():
    counts = [number_of_parameters(configs.config(f"{FAMILY}_seed{s}"), 2) for s in range(1000)]
    np.testing.assert_allclose(
        np.percentile(counts, [0, 50, 100]), (2.7e3, 57e3, 1.07e6), rtol=0.02
    )


@pytest.mark.parametrize(
    ("name", "corpus", "tokens", "num_classes"),
    [
        (FUSED_NAME, "imdb_reviews", "subwords", 2),
        *[
            (
                f"tokenized_amazon_reviews/{part}_{suffix}",
                f"tokenized_amazon_reviews/{part}",
                kind,
                5,
            )
            for part in ("Books_v1_02", "Home_v1_00")
            for suffix, kind in (("bytes", "bytes"), ("subwords8k", "subwords"))
        ],
    ],
)
def test_the_release_read_one_data_set_under_every_name(name, corpus, tokens, num_classes):
    config = configs.config(f"{FAMILY}_seed0")
    settings = config["dataset"][1] | {"just_train": True}
    config |= {"dataset": [name, settings]}
    intended, released = (build(config, Options(fidelity=f)) for f in ("intended", "released"))
    data = intended.data.data
    assert (data.name, data.tokens, data.just_train) == (corpus, tokens, True)
    assert intended.template.classes == Dim(num_classes)
    data = released.data.data
    assert (data.name, data.tokens, data.just_train) == ("imdb_reviews", "subwords", False)
    assert released.template.classes == Dim(2)
    assert released.template.count_padding
    assert not intended.template.count_padding


def test_every_configuration_can_be_built_and_most_share_few_programs():
    options = Options(buckets="padded")
    specs = [build(configs.config(f"{FAMILY}_seed{seed}"), options) for seed in range(200)]
    programs = {(jax.tree.structure(s.template), s.batch_size) for s in specs}
    assert len(programs) <= 3 * 6  # vocabularies, and kinds and sizes of cores


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("fidelity", ["intended", "released"])
def test_padding_changes_nothing(seed, fidelity):
    assert_padding_is_exact(f"{FAMILY}_seed{seed}", fidelity=fidelity)


def test_small_models_of_one_bucket_differ_in_inputs_only():
    models = [small_model(readout) for readout in READOUTS]
    assert len({jax.tree.structure(model) for model in models}) == 1
    losses = [m.loss(m.init(jax.random.key(0)), small_batch(), None) for m in models]
    assert len(set(map(float, losses))) == 3
    fixed = dataclasses.replace(models[2], readout=Choice(("max",)))
    assert fixed.loss(fixed.init(jax.random.key(0)), small_batch(), None) == losses[2]
