"""Which minimum of (x - y)^2 / 2 does an optimizer find, of a whole line of them?

    python recipes/implicit_regularisation.py EXPORT... [--json FILE] [--picture FILE]

The gradient is (d, -d), so a rule that treats coordinates alike and signs alike conserves x + y:
gradient descent, momentum and Adam stop at the projection of the start. Metz et al. 2020
(https://arxiv.org/abs/2009.11243, section 5.3) show a learned optimizer that drifts along the line
to the origin, as weight decay does. For every optimizer, over 64 starts: R = |x + y| after 200
steps over |x + y| before, and how much |x - y| shrank. Fails unless hand-designed rules have R = 1
and shrink it tenfold; of learned ones it reports. Reproduction R8 of docs/reproductions.md.
"""

import json as json_module
import pathlib
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import tyro

import metaopt

NUM_STEPS, NUM_STARTS, SEED = 200, 64, 0
CONSERVING = {
    "gradient descent": optax.sgd(0.1),
    "momentum": optax.sgd(0.03, momentum=0.9),
    "Adam": optax.adam(0.05),
}
WITH_DECAY = {"AdamW, decay 0.1": optax.adamw(0.05, weight_decay=0.1)}


def paths(optimizer: optax.GradientTransformation, starts: jax.Array) -> np.ndarray:
    """Where every run is before the first step and after each: [num_starts, steps + 1, 2]."""
    optimizer = optax.with_extra_args_support(optimizer)
    loss = lambda point: 0.5 * jnp.square(point[0] - point[1])

    def step(carry: Any, _: None):
        point, state = carry
        value, gradient = jax.value_and_grad(loss)(point)
        updates, state = optimizer.update(gradient, state, point, value=value)
        point = jnp.asarray(optax.apply_updates(point, updates))
        return (point, state), point

    def run(start: jax.Array) -> jax.Array:
        visited = jax.lax.scan(step, (start, optimizer.init(start)), length=NUM_STEPS)[1]
        return jnp.concatenate([start[None], visited])

    return np.asarray(jax.jit(jax.vmap(run))(starts))


def measure(found: np.ndarray) -> dict[str, list[float]]:
    """Of "R" and of "shrinkage", |x - y| after over before: the 10th, 50th, 90th percentile."""
    ratio = lambda values: np.abs(values[:, -1]) / np.abs(values[:, 0])
    by_name = {"R": ratio(found.sum(-1)), "shrinkage": ratio(found[..., 0] - found[..., 1])}
    return {name: np.percentile(x, [10, 50, 90]).tolist() for name, x in by_name.items()}


def check(name: str, found: np.ndarray) -> None:
    """Exits unless x + y is conserved and |x - y| is a tenth, for each of the runs."""
    sums, differences = found.sum(-1), np.abs(found[..., 0] - found[..., 1])
    if np.max(np.abs(sums[:, -1] - sums[:, 0])) > 1e-12:
        sys.exit(f"{name} does not conserve x + y")
    if np.any(differences[:, -1] > 0.1 * differences[:, 0]):
        sys.exit(f"{name} does not bring x and y together")


def draw(by_name: Mapping[str, np.ndarray], path: pathlib.Path) -> None:
    """One panel for each optimizer, with the paths of 16 starts."""
    num_columns = min(4, len(by_name))
    num_rows = -(-len(by_name) // num_columns)
    size = (3.2 * num_columns, 3.4 * num_rows)
    figure, axes = plt.subplots(num_rows, num_columns, figsize=size, squeeze=False)
    for axis in axes.flat[len(by_name) :]:
        axis.axis("off")
    for axis, (name, found) in zip(axes.flat, by_name.items(), strict=False):
        axis.plot([-1.5, 1.5], [-1.5, 1.5], color="0.8", zorder=0)
        for one in found[:16]:
            axis.plot(one[:, 0], one[:, 1], color="tab:blue", linewidth=0.8)
        axis.plot(found[:16, 0, 0], found[:16, 0, 1], "o", color="0.4", markersize=3)
        axis.plot(found[:16, -1, 0], found[:16, -1, 1], "o", color="tab:red", markersize=4)
        axis.set(title=name, xlabel="x", ylabel="y", xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
        axis.set_aspect("equal")
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main(
    exports: tyro.conf.Positional[tuple[pathlib.Path, ...]] = (),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
    picture: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Runs hand-designed optimizers and those of `exports`; prints what `measure` returns."""
    jax.config.update("jax_enable_x64", True)
    starts = jax.random.uniform(jax.random.key(SEED), (NUM_STARTS, 2), minval=-1.0, maxval=1.0)
    optimizers: dict[str, optax.GradientTransformation] = {**CONSERVING, **WITH_DECAY}
    for path in exports:
        optimizers[str(path)] = metaopt.load(path, num_steps=NUM_STEPS)
    found = {name: paths(optimizer, starts) for name, optimizer in optimizers.items()}
    for name in CONSERVING:
        check(name, found[name])
    rows = {name: measure(visited) for name, visited in found.items()}
    for name, row in rows.items():
        print(f"{name:30} R {row['R'][1]:.3f}  |x - y| times {row['shrinkage'][1]:.2g}")
    if json:
        json.write_text(json_module.dumps(rows, indent=2) + "\n")
    if picture:
        draw(found, picture)


if __name__ == "__main__":
    tyro.cli(main)
