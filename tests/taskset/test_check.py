"""The checks of a family: each finds the family that breaks its promise, and no other does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset import check
from taskset.base import Dataset, Task, TaskFamily

WHOLE = np.linspace(0.0, 1.0, 20, dtype=np.float32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Numbers(Dataset):
    values: jax.Array  # [20] float32

    def sample(self, split, key, batch_size):
        return jax.random.choice(key, self.values, (batch_size,))

    def whole(self, split):
        return self.values


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MeanDistance(Task):
    start: jax.Array  # [] float32

    def init(self, key):
        return self.start

    def loss(self, params, batch, key):
        return jnp.mean((params - batch) ** 2)


@dataclasses.dataclass(frozen=True)
class Honest(TaskFamily):
    batch_size: int = 3

    def load_data(self):
        return Numbers(jnp.asarray(WHOLE))

    def sample(self, data, key):
        return MeanDistance(1 + jax.random.uniform(key))


class EqualOnlyToItself(Honest):
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Forgetful(Honest):
    def sample(self, data, key):
        return MeanDistance(jnp.float32(np.random.RandomState().uniform()))


class Growing(Honest):
    def sample(self, data, key):
        if isinstance(key, jax.core.Tracer):
            return super().sample(data, key)
        size = 1 + int(jax.random.randint(key, (), 0, 100))
        return MeanDistance(jnp.ones((size, 1)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Root(MeanDistance):
    def loss(self, params, batch, key):
        return jnp.sqrt(jnp.zeros(()) * params)


class Infinite(Honest):
    def sample(self, data, key):
        return Root(jnp.ones(()))


class Branching(Honest):
    def sample(self, data, key):
        return Honest.sample(self, data, key) if bool(jax.random.uniform(key) < 2) else None


class Hidden(Honest):
    def load_data(self):
        return HiddenNumbers(jnp.zeros(1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HiddenNumbers(Numbers):
    def sample(self, split, key, batch_size):
        return jax.random.choice(key, jnp.asarray(WHOLE), (batch_size,))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stubborn(Numbers):
    def sample(self, split, key, batch_size):
        return jax.random.choice(key, self.values, (3,))


class OneSize(Honest):
    def load_data(self):
        return Stubborn(jnp.asarray(WHOLE))


class AnotherProgram(Honest):
    def program(self):
        return Forgetful()


def failed(family):
    return {finding.check: finding.message for finding in check.check(family) if not finding.ok}


def test_an_honest_family_keeps_every_promise():
    findings = check.check(Honest())
    assert [finding.check for finding in findings] == list(check.CHECKS)
    assert all(finding.ok and not finding.message for finding in findings)


@pytest.mark.parametrize(
    ("broken", "name", "message"),
    [
        (EqualOnlyToItself, "pickles to an equal value", "is not equal to"),
        (Forgetful, "the same key gives the same task", "two tasks that differ"),
        (Growing, "every key gives the same shapes", "two keys gave parameters of"),
        (Infinite, "finite loss and gradients", "gradients at the start are not finite"),
        (Branching, "another key does not trace again", "TracerBoolConversionError"),
        (Branching, "vmap over tasks equals one by one", "TracerBoolConversionError"),
        (Hidden, "data enter as an argument", "arrays of [20] elements are constants"),
        (OneSize, "minibatches by key, of the size asked for", "of train of 7 examples has {(3,)}"),
        (AnotherProgram, "its program makes the same tasks", "gives another start"),
    ],
)
def test_a_broken_promise_is_found(broken, name, message):
    assert message in failed(broken())[name]


def test_a_local_class_does_not_pickle():
    @dataclasses.dataclass(frozen=True)
    class Local(Honest):
        pass

    assert set(failed(Local())) == {"pickles to an equal value"}
