"""Every port does what the JAX optimizer does, on tensors of 1 to 4 axes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from bare_exports import bare_export
from small_optimizers import small

from metaopt import learned_optimizers as lo
from metaopt.torch import LearnedOptimizer
from metaopt.torch.reading import KINDS

NUM_STEPS, HORIZON = 50, 40
SHAPES = {"vector": (5,), "matrix": (6, 4), "sequence": (4, 2, 3), "kernel": (3, 2, 2, 4)}
# Untrained, it is chaotic at its own step: two programs that differ in rounding part ways. With
# `equal_averages` features of the loss are of order 1 by rounding alone, in any program.
VELO = dataclasses.replace(small("VeLO"), step_multiplier=1e-4)
OPTIMIZERS = {kind: small(kind) for kind in KINDS} | {
    "VeLO": VELO,
    "VeLO, released": dataclasses.replace(VELO, released=True, forgets=True),
    "Celo, released": lo.Celo(released=True),
    "Celo2, orthogonal": lo.Celo2(orthogonalize=True, adam_for_vectors=False),
    "PerParameterMLP2019, second moments": lo.PerParameterMLP2019(second_moments=True),
    "Hierarchical, paper": lo.Hierarchical(variant="paper"),
    "HyperController, mlp": lo.HyperController(controller="mlp"),
    "CoordinatewiseLSTM, plain": lo.CoordinatewiseLSTM(preprocess=False),
    "LearnableAdam, schedules": lo.LearnableAdam(num_tensors=4, num_knots=3),
}


def meta_params_of(optimizer):
    """Untrained, but with no zeros."""
    draw = np.random.RandomState(1)
    spread = 0.01 if isinstance(optimizer, lo.VeLO) else 0.05
    vary = lambda x: x + spread * np.asarray(draw.randn(*x.shape), np.float32)
    return jax.tree.map(vary, optimizer.init(jax.random.key(1)))


def recorded():
    """Parameters, gradients [NUM_STEPS, ...] and losses [NUM_STEPS] of a run."""
    draw = np.random.RandomState(0)
    normal = lambda *shape: draw.randn(*shape).astype(np.float32)
    params = {name: normal(*shape) for name, shape in SHAPES.items()}
    gradients = {name: 0.3 * normal(NUM_STEPS, *shape) for name, shape in SHAPES.items()}
    losses = (2 - 0.03 * np.arange(NUM_STEPS) + 0.1 * draw.randn(NUM_STEPS)).astype(np.float32)
    losses[7] = np.nan
    return params, gradients, losses


def by_jax(optimizer, meta_params):
    transformation = optimizer.as_optax(meta_params, num_steps=HORIZON)
    params, gradients, losses = jax.tree.map(jnp.asarray, recorded())

    def step(carry, seen):
        params, state = carry
        gradients, loss = seen
        extra = {"value": loss, "valid_value": loss + 0.1}
        updates, state = transformation.update(gradients, state, params, **extra)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    run = jax.jit(
        lambda params, seen: jax.lax.scan(step, (params, transformation.init(params)), seen)
    )
    return jax.tree.map(np.asarray, run(params, (gradients, losses))[1])


def by_torch(path):
    params, gradients, losses = recorded()
    # As JAX orders them, for optimizers with a rate for each.
    tensors = {name: torch.nn.Parameter(torch.tensor(params[name])) for name in sorted(params)}
    optimizer = LearnedOptimizer(tensors.values(), path, num_steps=HORIZON, check=False)
    after = {name: [] for name in tensors}
    for step in range(NUM_STEPS):
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradients[name][step])
        optimizer.step(value=losses[step], valid_value=float(losses[step]) + 0.1)
        for name, tensor in tensors.items():
            after[name].append(tensor.detach().numpy().copy())
    return {name: np.stack(arrays) for name, arrays in after.items()}


def test_every_kind_has_a_port():
    assert set(KINDS) == set(lo.KINDS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps_are_those_of_jax(name, tmp_path):
    optimizer = OPTIMIZERS[name]
    meta_params = meta_params_of(optimizer)
    bare_export(tmp_path / "export", optimizer, meta_params)
    found, expected = by_torch(tmp_path / "export"), by_jax(optimizer, meta_params)
    start = recorded()[0]
    for tensor in SHAPES:
        np.testing.assert_allclose(found[tensor], expected[tensor], rtol=0, atol=1e-5)
        travelled = np.max(np.abs(expected[tensor] - start[tensor]))
        assert travelled > 2e-5, tensor
        error = np.max(np.abs(found[tensor] - expected[tensor]))
        assert error < 1e-3 * travelled + 1e-6, tensor
