"""Seven regularisers of an LSTM, tuned while it trains on Penn Treebank.

MacKay et al. 2019 (https://arxiv.org/abs/1903.03088), section 4.3. Not run here: see
`full_size.py`, and `tuned_dropout.py` for a small one. Data are a folder with the usual
`ptb.train.txt` and `ptb.valid.txt`. Unlike the published one, every window of 70 words starts from
a state of zeros, and the learning rate stays.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from cifar10_self_tuning import Nothing
from classification import cross_entropies
from tuned_dropout import dropped

from metaopt.domains import AtLeast, Between
from metaopt.estimators import DirectGradient
from metaopt.horizons import Endless
from metaopt.hyperparameter_training import Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters
from metaopt.self_tuning import layers
from metaopt.self_tuning.layers import Draws, LSTMState
from metaopt.self_tuning.problem import RespondingTraining, SelfTuning
from metaopt.self_tuning.responses import BestResponse, Responsive
from taskset.base import Batch, Dataset, Key, Split, Task, TaskFamily
from taskset.errors import InputError

WORDS, UNITS, LAYERS, WINDOW = 10_000, 650, 2, 70
DROPOUTS = ("input", "hidden", "output", "embedding", "connection")
PENALTIES = ("activation", "change")  # of what the network says, and of how it changes


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Windows(Dataset):
    """Windows of 71 words from anywhere in a text."""

    words: Mapping[Split, Any]  # [num_words] int32

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        words = self.words[split]
        starts = jax.random.randint(key, (batch_size,), 0, len(words) - WINDOW)
        return {"words": words[starts[:, None] + jnp.arange(WINDOW + 1)[None]]}

    def whole(self, split: Split) -> Batch:
        raise InputError("a text is no batch; use sampled ones")


@dataclasses.dataclass(frozen=True)
class PennTreebank(TaskFamily):
    """Minibatches of 40 windows."""

    folder: str
    batch_size = 40

    def load_data(self) -> Windows:
        try:
            texts = {
                split: (pathlib.Path(self.folder) / f"ptb.{name}.txt").read_text()
                for split, name in (("train", "train"), ("outer_valid", "valid"))
            }
        except OSError as error:
            raise InputError(f"cannot read Penn Treebank: {error}; put its files there") from None
        words = {split: text.replace("\n", "<eos>").split() for split, text in texts.items()}
        number = {word: index for index, word in enumerate(sorted(set(words["train"])))}
        numbers = {k: np.asarray([number[w] for w in ws], np.int32) for k, ws in words.items()}
        return Windows(jax.tree.map(jnp.asarray, numbers))

    def shapes(self) -> Windows:
        """Of the data."""
        like = lambda number: jax.ShapeDtypeStruct((number,), jnp.int32)
        return Windows({"train": like(929_589), "outer_valid": like(73_760)})

    def sample(self, data: Dataset, key: Key) -> Nothing:
        return Nothing()


def outputs(
    params: Responsive, words: jax.Array, values: Values, key: Key
) -> tuple[jax.Array, jax.Array]:
    """Logits, [batch, WINDOW, WORDS], and what they are of, [batch, WINDOW, UNITS].

    What is dropped of a window is the same at all its steps.
    """
    key_words, key_mask, *keys = jax.random.split(key, 3 + LAYERS)
    all_words = jnp.ones((WORDS, 1))
    known = dropped(all_words, values["embedding"], key_words)[words]
    hidden = layers.embed(params["embedding"], words) * known
    locked = lambda rate, key: dropped(jnp.ones((len(words), 1, UNITS)), rate, key)
    hidden = hidden * locked(values["input"], keys[0])
    masks = dropped(jnp.ones((LAYERS, UNITS, 4 * UNITS)), values["connection"], key_mask)
    for index in range(LAYERS):
        layer, mask = params[f"lstm{index}"], masks[index]

        def step(state: LSTMState, x: jax.Array, layer=layer, mask=mask):
            state = layers.lstm_step(layer, state, x, mask)
            return state, state.hidden

        zeros = jnp.zeros((len(words), UNITS))
        hidden = jax.lax.scan(step, LSTMState(zeros, zeros), hidden.swapaxes(0, 1))[1]
        rate = values["output"] if index == LAYERS - 1 else values["hidden"]
        hidden = hidden.swapaxes(0, 1) * locked(rate, keys[index + 1])
    table = params["embedding"].elementary["table"]
    return hidden @ table.T + params["decoder"].elementary["bias"][None, None], hidden


@dataclasses.dataclass(frozen=True)
class Regularised(RespondingTraining):
    """Clipped gradient descent."""

    def hyperparameters(self) -> Hyperparameters:
        return {
            **{name: Hyperparameter(0.05, Between(0.0, 0.95)) for name in DROPOUTS},
            **{name: Hyperparameter(0.05, AtLeast(0.0)) for name in PENALTIES},
        }

    def init(self, values: Values, task: Task, key: Key) -> BestResponse:
        key_words, *keys = jax.random.split(key, 1 + LAYERS)
        draws, number = (lambda key: Draws(key, number)), len(DROPOUTS) + len(PENALTIES)
        lstms = {f"lstm{i}": layers.init_lstm(draws(k), UNITS, UNITS) for i, k in enumerate(keys)}
        decoder = BestResponse({"bias": jnp.zeros(WORDS)}, {})
        embedding = layers.init_embedding(draws(key_words), WORDS, UNITS)
        return BestResponse.of_layers({"embedding": embedding, **lstms, "decoder": decoder})

    def inner_loss(
        self, values: Values, task: Task, params: Responsive, batch: Batch, key: Key
    ) -> jax.Array:
        words = batch["words"]
        logits, hidden = outputs(params, words[:, :-1], values, key)
        squares = lambda x: jnp.mean(jnp.square(x))
        change = values["change"] * squares(hidden[:, 1:] - hidden[:, :-1])
        penalties = values["activation"] * squares(hidden) + change
        return jnp.mean(cross_entropies(logits, words[:, 1:])) + penalties

    def outer_loss(
        self, values: Values, task: Task, params: Responsive, batch: Batch, key: Key
    ) -> jax.Array:
        words, none = batch["words"], {name: jnp.zeros(()) for name in DROPOUTS}
        logits, _ = outputs(params, words[:, :-1], none, key)
        return jnp.mean(cross_entropies(logits, words[:, 1:]))

    def dynamics(self, values: Values) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(0.25), optax.sgd(30.0))


def estimator(folder: str) -> DirectGradient:
    """After 331 steps of training alone, two of it for one of tuning."""
    problem = SelfTuning(
        PennTreebank(folder),
        Regularised(),
        scale=1.0,
        tune_scales=False,
        shared=("embedding", "connection", *PENALTIES),
    )
    return DirectGradient(problem, 1, 2, Endless(), warm_up=331)
