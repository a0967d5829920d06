"""PerParameterMLP sends large tensors through its network in blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.learned_optimizers import PerParameterMLP, network


@pytest.mark.parametrize("size", [8, 9, 31])
def test_blocks_change_nothing(size, monkeypatch):
    params = jnp.linspace(-1, 1, size)
    transformation = PerParameterMLP().as_optax(PerParameterMLP().init(jax.random.key(0)))
    update = lambda: transformation.update(jnp.cos(params), transformation.init(params), params)[0]
    whole = update()
    monkeypatch.setattr(network, "LARGE", 7)
    monkeypatch.setattr(network, "BLOCK", 4)
    np.testing.assert_allclose(update(), whole, rtol=1e-5, atol=1e-9)
    assert np.ptp(whole) > 0
