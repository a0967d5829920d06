"""Penalties follow the validation loss, rates the training loss: each as it would alone."""

import dataclasses

import jax
import numpy as np
import pytest
from ridge import ridge

from metaopt.estimators import (
    FullBackprop,
    Objective,
    OnlineForwardMode,
    SeveralObjectives,
)
from metaopt.horizons import Endless, Fixed
from taskset.errors import InputError

KEY = jax.random.key(0)
VALID = ridge("momentum")
TRAIN = dataclasses.replace(VALID, outer_split="train")
DATA = VALID.load_data()
META_PARAMS = VALID.start(DATA, KEY)
ON_VALID, ON_TRAIN = ("weight", "penalty", "scale"), ("rate", "decay")


def whole(problem, num_tasks=2):
    return FullBackprop(problem, num_tasks, Fixed(5), objective="final")


def both(of_valid, of_train):
    objectives = (Objective(ON_VALID, of_valid), Objective(ON_TRAIN, of_train))
    return SeveralObjectives(VALID, 2, objectives)


def estimates(estimator, num_calls):
    state, compute = estimator.init(META_PARAMS, DATA, KEY), jax.jit(estimator.estimate)
    found = []
    for key in jax.random.split(KEY, num_calls):
        estimate, state = compute(META_PARAMS, state, DATA, key)
        found.append(estimate)
    return found


def online(problem):
    return OnlineForwardMode(problem, 2, 3, Endless())


@pytest.mark.parametrize("make", [whole, online])
def test_each_follows_its_own(make):
    combined = estimates(both(make(VALID), make(TRAIN)), 2)
    alone = {names: estimates(make(p), 2) for names, p in ((ON_VALID, VALID), (ON_TRAIN, TRAIN))}
    for call, found in enumerate(combined):
        assert set(found.gradient) == set(META_PARAMS) and float(found.weight) == 2
        for names, expected in alone.items():
            for name in names:
                np.testing.assert_allclose(
                    found.gradient[name], expected[call].gradient[name], rtol=1e-5, atol=1e-7
                )
        valid, train = (expected[call] for expected in alone.values())
        np.testing.assert_allclose(found.meta_loss, valid.meta_loss, rtol=1e-6)
        np.testing.assert_allclose(found.metrics["meta_loss_1"], 2 * train.meta_loss, rtol=1e-6)
        assert np.abs(valid.gradient["rate"] - train.gradient["rate"]) > 1e-4


def test_refusals():
    with pytest.raises(InputError, match="num_tasks is 2, and that of the objective of rate, d"):
        both(whole(VALID), whole(TRAIN, 3))
    twice = SeveralObjectives(VALID, 2, (Objective(ON_VALID, whole(VALID)),) * 2)
    with pytest.raises(InputError, match="each hyper-parameter, of weight, penalty, rate"):
        twice.estimate(META_PARAMS, twice.init(META_PARAMS, DATA, KEY), DATA, KEY)
    with pytest.raises(InputError, match="objectives is empty"):
        SeveralObjectives(VALID, 2)
