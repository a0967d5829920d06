"""For tests: that padding a task to the sizes of a bucket changes nothing that is computed."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from taskset.named import NamedFamily


def assert_padding_is_exact(name, rtol=1e-6, **options):
    """The start, loss and gradient of a task are those it has in the arrays of its bucket.

    `rtol` is relative to the largest entry of an array. The loss and the gradient are computed in
    float64: sums over more entries round otherwise, and no less.
    """
    exact, padded = (NamedFamily(name, buckets=b, **options) for b in ("exact", "padded"))
    start, loss, grads = start_loss_and_grads(exact)
    padded_start, padded_loss, padded_grads = start_loss_and_grads(padded)
    assert loss.dtype == padded_loss.dtype == np.float64
    np.testing.assert_allclose(loss, padded_loss, rtol=rtol)
    _assert_close(jax.tree.map(cut_to, start, matched(padded_start, start)), start, rtol)
    assert any(np.any(leaf) for leaf in jax.tree.leaves(grads))
    pads = lambda part, whole: embedded(part, whole.shape)
    _assert_close(
        jax.tree.map(pads, grads, matched(padded_grads, grads)),
        matched(padded_grads, grads),
        rtol,
    )
    # Beside the arrays that the exact task has, those of padded layers have no gradient.
    norms = [_sum_of_squares(tree) for tree in (padded_grads, matched(padded_grads, grads))]
    assert norms[0] == norms[1]


def start_loss_and_grads(family):
    """All on one minibatch, with the same keys for every family."""

    @jax.jit
    def draw(data, key):
        task = family.sample(data, key)
        return task, task.init(key), data.sample("train", key, family.batch_size)

    @jax.jit
    def loss_and_grads(task, params, batch, key):
        return jax.value_and_grad(task.loss)(params, batch, key)

    key = jax.random.key(3)
    task, start, batch = draw(family.load_data(), key)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        wide = jax.tree.map(_in_float64, (task, start, batch))
        return start, *jax.device_get(loss_and_grads(*wide, key))


def _in_float64(x):
    if x.dtype == jnp.uint8:  # pixels, which networks read as float32 otherwise
        return x.astype(jnp.float64) / 255
    return x.astype(jnp.float64) if x.dtype == jnp.float32 else x


def matched(padded, exact):
    """The arrays of `padded` under the names of `exact`: the last of dense layers stays the last.

    Dense layers are named layer0, layer1 and so on, and padding comes before the last.
    """
    if not isinstance(exact, Mapping):
        return padded
    names = {name: name for name in exact}
    if all(name.startswith("layer") for name in exact):
        names[f"layer{len(exact) - 1}"] = f"layer{len(padded) - 1}"
    return {name: matched(padded[names[name]], exact[name]) for name in exact}


def cut_to(part, whole):
    """The leading entries of `whole` that `part` has."""
    return whole[tuple(slice(size) for size in part.shape)]


def embedded(part, shape):
    """`part` and zeros after it, to `shape`."""
    return np.pad(part, [(0, size - own) for size, own in zip(shape, part.shape, strict=True)])


def _assert_close(actual, expected, rtol):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert np.all(np.isfinite(b))
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.max(np.abs(b), initial=1e-30))


def _sum_of_squares(tree):
    return sum(float(np.sum(np.square(np.asarray(x, np.float64)))) for x in jax.tree.leaves(tree))
