"""The language models' loss against plain numpy, their sizes, and what padding does to them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from padding import assert_padding_is_exact

from taskset import configs
from taskset.families.rnn_language_model import RNNLanguageModel, build
from taskset.named import NamedFamily
from taskset.networks.activations import Activation
from taskset.networks.dims import Dim
from taskset.networks.initializers import initializer
from taskset.networks.recurrent import InitialState, VanillaCore
from taskset.networks.token_rnn import TokenRNN
from taskset.options import Options

VOCAB, EMBED, HIDDEN, ROWS, STEPS = 7, 3, 5, 4, 6
DEFAULT = initializer("default", None)
FAMILIES = ("char_rnn_language_model_family", "word_rnn_language_model_family")


def small_model(count_padding=False):
    core = VanillaCore(Dim(EMBED), Dim(HIDDEN), Activation("tanh"), DEFAULT, DEFAULT)
    network = TokenRNN(Dim(VOCAB), core, InitialState(True))
    return RNNLanguageModel(network, DEFAULT, count_padding)


def small_batch():
    """Tokens up to 9, so above the vocabulary too; rows of 6, 4, 2 and 6 tokens."""
    lengths = np.asarray([6, 4, 2, 6])
    mask = (np.arange(STEPS)[None] < lengths[:, None]).astype(np.float32)
    tokens = np.random.RandomState(1).randint(1, 10, (ROWS, STEPS)) * mask.astype(int)
    assert tokens.max() > VOCAB
    return {"tokens": jnp.asarray(tokens, jnp.int32), "mask": jnp.asarray(mask)}


def numpy_loss(params, batch, count_padding):
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    tokens = np.minimum(np.asarray(batch["tokens"]), VOCAB - 1)
    core, hidden = params["core"], np.tile(params["initial"]["initial0"], (ROWS, 1))
    losses, weights = [], []
    for step in range(STEPS - 1):
        x = params["embedding"][tokens[:, step]]
        hidden = np.tanh(
            x @ core["in_to_hidden"]
            + core["in_bias"]
            + hidden @ core["hidden_to_hidden"]
            + core["hidden_bias"]
        )
        logits = hidden @ params["output"]["weight"] + params["output"]["bias"]
        label = tokens[:, step + 1]
        losses.append(np.log(np.exp(logits).sum(-1)) - logits[np.arange(ROWS), label])
        weights.append(np.asarray(batch["mask"])[:, step + 1])
    return np.average(losses, weights=None if count_padding else weights)


@pytest.mark.parametrize("count_padding", [False, True])
def test_loss_equals_numpy(count_padding):
    task, rng = small_model(count_padding), np.random.RandomState(0)
    start = task.init(jax.random.key(0))
    params = jax.tree.map(lambda p: p + 0.3 * rng.randn(*p.shape).astype(np.float32), start)
    got = task.loss(params, small_batch(), jax.random.key(0))
    np.testing.assert_allclose(got, numpy_loss(params, small_batch(), count_padding), rtol=1e-5)


def test_padding_and_tokens_that_never_come_have_no_gradient():
    task = small_model()
    params = task.init(jax.random.key(0))
    batch = {"tokens": jnp.asarray([[1, 2, 3, 0, 0]]), "mask": jnp.asarray([[1.0, 1, 1, 0, 0]])}
    grads = jax.grad(task.loss)(params, batch, jax.random.key(0))
    read = np.any(np.asarray(grads["embedding"]) != 0, axis=1)
    np.testing.assert_array_equal(np.flatnonzero(read), [1, 2])  # the last token is not read


def test_a_document_of_one_token_has_loss_zero():
    task = small_model()
    batch = {"tokens": jnp.asarray([[1, 0]]), "mask": jnp.asarray([[1.0, 0]])}
    loss, grads = jax.value_and_grad(task.loss)(task.init(jax.random.key(0)), batch, None)
    assert loss == 0
    assert not any(np.any(g) for g in jax.tree.leaves(grads))


def number_of_parameters(config):
    """By hand: embedding, core, learned state, output."""
    kind, settings = config["core"]
    embed, hidden, vocab = config["embed_dim"], settings["core_dim"], config["vocab_size"]
    gates = {"vrnn": 1, "gru": 3, "lstm": 4}[kind]
    core = gates * hidden * (embed + hidden + 1) + (hidden if kind == "vrnn" else 0)
    states = (2 if kind == "lstm" else 1) * hidden if config["trainable_init"] else 0
    return vocab * embed + core + states + (hidden + 1) * vocab


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_parameters_are_those_of_the_configuration(family, seed):
    config = configs.config(f"{family}_seed{seed}")
    params = jax.eval_shape(build(config, Options()).template.init, jax.random.key(0))
    assert sum(p.size for p in jax.tree.leaves(params)) == number_of_parameters(config)


@pytest.mark.parametrize(
    ("family", "sizes"),
    list(zip(FAMILIES, [(6.9e3, 43e3, 182e3), (57e3, 564e3, 6.8e6)], strict=True)),
)
def test_the_1000_configurations_have_the_published_sizes(family, sizes):
    counts = [number_of_parameters(configs.config(f"{family}_seed{s}")) for s in range(1000)]
    np.testing.assert_allclose(np.percentile(counts, [0, 50, 100]), sizes, rtol=0.02)


def test_options_decide_what_of_the_release_is_kept():
    config = configs.config("char_rnn_language_model_family_seed998")
    spec = build(config, Options())
    assert not spec.template.count_padding
    assert spec.data.data.last_window
    released = build(config, Options(fidelity="released"))
    assert released.template.count_padding
    assert not released.data.data.last_window
    assert (spec.batch_size, spec.data.data.patch_length) == (352, 159)
    assert spec.data.data.name == "tokenized_amazon_reviews/Video_v1_00"
    assert (spec.data.data.num_train, spec.data.data.just_train) == (38646, False)
    assert spec.data.data.validation_size == 3000


def test_most_configurations_share_few_programs():
    for family, most in zip(FAMILIES, (6, 9), strict=True):
        names = [f"{family}_seed{seed}" for seed in range(60)]
        specs = [build(configs.config(name), Options(buckets="padded")) for name in names]
        programs = {(jax.tree.structure(s.template), s.batch_size) for s in specs}
        assert len(programs) <= most


def test_the_loss_starts_near_that_of_guessing_and_falls(standard_promotion):
    config = configs.config("char_rnn_language_model_family_seed3")
    settings = config["dataset"][1] | {"batch_size": 16, "patch_length": 12}
    config |= {"dataset": ["lm1b/bytes", settings], "w_init": ["default", None]}
    spec = build(config, Options())
    data, optimizer = spec.data.load(), optax.adam(1e-2)

    @jax.jit
    def run(data):
        params = spec.template.init(jax.random.key(0))

        def step(carry, key):
            params, state = carry
            batch = data.sample("train", key, 16)
            loss, grads = jax.value_and_grad(spec.template.loss)(params, batch, key)
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(params, updates), state), loss

        keys = jax.random.split(jax.random.key(1), 60)
        return jax.lax.scan(step, (params, optimizer.init(params)), keys)[1]

    losses = run(data)
    assert abs(losses[0] - np.log(256)) < 0.3
    assert np.mean(losses[-10:]) < 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])  # vrnn, lstm, gru
@pytest.mark.parametrize("fidelity", ["intended", "released"])
def test_padding_changes_nothing(seed, fidelity):
    assert_padding_is_exact(f"char_rnn_language_model_family_seed{seed}", fidelity=fidelity)


@pytest.mark.slow
def test_padding_changes_nothing_of_a_model_of_subwords():
    assert_padding_is_exact(smallest_word_model())


def smallest_word_model():
    names = [f"{FAMILIES[1]}_seed{seed}" for seed in range(200)]

    def cost(name):
        config = configs.config(name)
        settings = config["dataset"][1]
        return config["vocab_size"] * settings["batch_size"] * settings["patch_length"]

    return min(names, key=cost)


@pytest.mark.slow
def test_a_bucket_evaluates_whole_splits_as_the_exact_task_does():
    name = "char_rnn_language_model_family_seed1"
    losses = []
    for buckets in ("exact", "padded"):
        family = NamedFamily(name, buckets=buckets)
        data = family.load_data()
        task = family.sample(data, jax.random.key(0))
        params = task.init(jax.random.key(0))
        losses.append(jax.jit(task.loss)(params, data.whole("test"), jax.random.key(0)))
    np.testing.assert_allclose(*losses, rtol=1e-5)
