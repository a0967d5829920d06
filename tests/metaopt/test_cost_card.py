"""Cost cards: numbers known by hand, and claims about inputs that the programs bear out."""

import jax
import jax.numpy as jnp
import pytest
from small_optimizers import small

from metaopt.cost_card import cost_card
from metaopt.learned_optimizers import KINDS, FactoredMLP, LearnableAdam, VeLO
from taskset.errors import InputError

GIVEN = {"value": 1234.5, "valid_value": 2345.5, "num_steps": 3456}  # told apart in a program


def test_adam_has_two_moments_and_a_division_each():
    card = cost_card(LearnableAdam())
    assert card.num_meta_params == 4
    assert card.state_bytes_per_vector_parameter == pytest.approx(8, abs=1e-3)  # and the step
    # By hand: 3 for each moment and 1 for the square, 2 divisions by what is known of them, root,
    # epsilon, division, rate and sign; guarding the root takes up to 3.
    assert 14 <= card.flops_per_matrix_parameter <= 17
    assert card.paper == "https://arxiv.org/abs/1412.6980"


def test_factored_statistics_are_those_of_a_matrix():
    card = cost_card(FactoredMLP())
    sides = 6 * 256  # numbers of row and column statistics of a matrix [256, 256]
    assert card.state_bytes_per_matrix_parameter == 4 * (4 + sides / 65_536) + 4 / 65_536
    assert card.state_bytes_per_vector_parameter == 4 * 7 + 4 / 65_536
    # 28 features of a parameter, all but 12 of them full, enter 4 units, a multiplication and an
    # addition each; then come two layers.
    assert card.flops_per_matrix_parameter > 2 * (16 * 4 + 4 * 4 + 4 * 2)
    assert sum(card.features["parameter"].values()) == 39


def test_features_are_those_of_the_variant():
    released, corrected = (cost_card(VeLO(released=x, **SMALL)) for x in (True, False))
    assert sum(released.features["tensor"].values()) == 30
    assert sum(corrected.features["tensor"].values()) == 28


SMALL = {"lstm_size": 16, "bank_size": 8}


@pytest.mark.parametrize("kind", KINDS)
def test_uses_what_it_says(kind: str):
    optimizer = small(kind)
    if kind.startswith("Learnable"):
        optimizer = KINDS[kind](num_knots=2)  # where it needs to know the length of training
    param = jnp.ones((2, 3))

    def update(meta_params, param):
        transformation = optimizer.as_optax(meta_params, num_steps=GIVEN["num_steps"])
        losses = {name: GIVEN[name] for name in ("value", "valid_value")}
        return transformation.update(param, transformation.init(param), param, **losses)

    program = str(jax.make_jaxpr(update)(optimizer.init(jax.random.key(0)), param))
    # A schedule divides by the number of steps, or by the last step.
    written = {name: (f"{x}.0", f"{x - 1}.0", f"{x}:") for name, x in GIVEN.items()}
    found = {name for name, texts in written.items() if any(text in program for text in texts)}
    assert found == set(optimizer.uses)


def test_what_cannot_be_built_is_refused():
    with pytest.raises(InputError, match=r"lstm_size=-1.*cannot be built"):
        cost_card(VeLO(lstm_size=-1))
