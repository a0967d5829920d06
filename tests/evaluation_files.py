"""Evaluations as `metaopt evaluate` writes them, made up from a seed; curves look like curves."""

from typing import Any

import numpy as np

NAMES = {
    # kind, tuning, settings, how fast and how low it gets beside the best, memory, ms per update
    "learned optimizer": ("subject", "none", 1, 1.5, 0.02, 28.0, 1.9),
    "Adam": ("baseline", "15 rates, per task", 15, 1.0, 0.05, 8.0, 0.12),
    "AdamW, cosine": ("baseline", "15 rates, per task", 15, 1.1, 0.03, 8.0, 0.13),
    "NAdamW, list of 10": ("baseline", "10 settings in order, per task", 10, 0.9, 0.05, 8.0, 0.16),
    "SGD": ("baseline", "15 rates, per task", 15, 0.35, 0.16, 0.0, 0.05),
    "Momentum": ("baseline", "15 rates, per task", 15, 0.6, 0.1, 4.0, 0.06),
    "Lion": ("baseline", "15 rates, per task", 15, 0.9, 0.08, 4.0, 0.1),
    "Muon": ("baseline", "15 rates, per task", 15, 1.25, 0.04, 4.0, 0.9),
    "random search of adam8p": ("baseline", "20 draws, per task", 20, 0.85, 0.05, 8.0, 0.17),
}
FAMILIES = ("mlp_family", "conv_pooling", "char_rnn", "quadratic_family", "nvp_family")
CHANGES = (
    ("width", 2.0), ("width", 4.0), ("width", 8.0), ("depth", 2.0), ("depth", 3.0),
    ("horizon", 2.0), ("horizon", 5.0), ("data", None), ("activation", None),
)  # fmt: skip
ANNOUNCED = (0.2, 0.5, 2.0, 5.0)


def evaluation(
    *,
    num_tasks: int = 20,
    num_seeds: int = 8,
    num_points: int = 120,
    seed: int = 0,
    changed: bool = True,
) -> dict[str, Any]:
    """`num_tasks` tasks of the training distribution and, if `changed`, those that widen some."""
    random = np.random.default_rng(seed)
    plain = [_task(random, i, num_seeds, num_points) for i in range(num_tasks)]
    tasks = list(plain)
    if changed:
        for i, (axis, scale) in enumerate(CHANGES):
            tasks.append(_changed(random, plain[i % 3], axis, scale, num_seeds, num_points))
        for scale in ANNOUNCED:
            tasks += [_announced(random, task, scale) for task in plain[:3]]
    return {
        "format_version": 2,
        "subject": "run runs/20261123-0100 at outer step 800",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "suite": "small",
        "created": "2026-11-23T03:00:00Z",
        "metaopt": "0.1.0",
        "platform": "cpu, 2 cores, jax 0.10.2",
        "seeds": list(range(num_seeds)),
        "optimizers": [_optimizer(name, num_seeds) for name in NAMES],
        "tasks": tasks,
        "failures": [
            {
                "task": tasks[1]["task"],
                "optimizer": "Muon",
                "error": "tensors of rank 4 are not supported",
            }
        ],
    }


def _optimizer(name: str, num_seeds: int) -> dict[str, Any]:
    kind, tuning, settings, *_ = NAMES[name]
    return {
        "name": name,
        "kind": kind,
        "tuning": tuning,
        "configurations": settings,
        "tuning_runs": 0 if kind == "subject" else settings * num_seeds,
        "chosen": "declared before" if kind == "subject" else "per task, on the reported runs",
    }


def _task(random, index: int, num_seeds: int, num_points: int) -> dict[str, Any]:
    family = FAMILIES[index % len(FAMILIES)]
    num_steps = int(random.choice([200, 500, 2000]))
    return _filled(
        random,
        {
            "task": f"{family}_seed{index}",
            "family": family,
            "split": "in_distribution",
            "axis": None,
            "scale": None,
            "num_steps": num_steps,
            "announced_num_steps": num_steps,
            "num_parameters": int(10 ** random.uniform(2.5, 5.5)),
        },
        {name: 1.0 for name in NAMES},
        num_seeds,
        num_points,
    )


def _changed(random, base, axis, scale, num_seeds, num_points) -> dict[str, Any]:
    longer = int(base["num_steps"] * scale) if axis == "horizon" else base["num_steps"]
    # The subject loses some of its speed where it was not trained.
    speeds = {name: 1.0 for name in NAMES} | {"learned optimizer": 0.9 ** np.log2(scale or 3.0)}
    task = {
        **{key: base[key] for key in ("family", "num_parameters")},
        "task": f"{base['task']}, {axis}" + (f" x {scale:g}" if scale else ""),
        "split": "out_of_distribution",
        "axis": axis,
        "scale": scale,
        "of": base["task"],
        "num_steps": longer,
        "announced_num_steps": longer,
    }
    return _filled(random, task, speeds, num_seeds, num_points)


def _announced(random, base, scale: float) -> dict[str, Any]:
    worse = 1 + 0.6 * abs(np.log2(scale))
    noise = np.exp(
        0.05 * random.normal(size=len(base["results"]["learned optimizer"]["test_loss"]))
    )
    subject = base["results"]["learned optimizer"]
    final = [
        None if x is None else x * worse * n for x, n in zip(subject["final_train_loss"], noise)
    ]
    return {
        **base,
        "task": f"{base['task']}, told {scale:g} x",
        "split": "out_of_distribution",
        "axis": "wrong_horizon",
        "scale": scale,
        "announced_num_steps": int(base["num_steps"] * scale),
        "results": base["results"] | {"learned optimizer": subject | {"final_train_loss": final}},
    }


def _filled(random, task, speeds, num_seeds, num_points) -> dict[str, Any]:
    steps = np.unique(np.linspace(0, task["num_steps"] - 1, num_points).round().astype(int))
    initial, floor = float(random.uniform(1.5, 4.6)), float(random.uniform(0.02, 0.6))
    time = float(random.uniform(0.05, 0.3)) * task["num_steps"]
    luck = {name: np.exp(0.35 * random.normal()) for name in NAMES}
    step_time = 0.4 + task["num_parameters"] / 1e5
    curve = lambda name: _curve(
        random,
        steps,
        initial,
        floor + NAMES[name][4] * luck[name],
        time / (speeds[name] * luck[name] * NAMES[name][3]),
        num_seeds,
    )
    results = {name: _result(random, curve(name), name, step_time) for name in NAMES}
    if task["family"] == "char_rnn":
        _diverge(results["SGD"], 0.4)
        if random.uniform() < 0.3:
            _diverge(results["learned optimizer"], 0.7)
    if task["task"] == "conv_pooling_seed1":
        del results["Muon"]
    ends = [
        min(x for x in r["final_train_loss"] if x is not None)
        for n, r in results.items()
        if n != "learned optimizer"
    ]
    rates = np.geomspace(1e-4, 1.0, 9)  # none of them is quite right
    slow = np.abs(np.log(rates / 0.02))
    grid = [
        _curve(random, steps, initial, floor + 0.05, time * np.exp(0.5 * s), num_seeds)
        for s in slow
    ]
    return {
        **task,
        "anchors": {"initial": initial, "best": min(ends)},
        "steps": steps.tolist(),
        "results": results,
        "adam_grid": {"rates": rates.tolist(), "curves": np.asarray(grid).tolist()},
    }


def _curve(random, steps, initial, floor, time, num_seeds) -> np.ndarray:
    times = time * np.exp(0.15 * random.normal(size=(num_seeds, 1)))
    ends = floor * np.exp(0.1 * random.normal(size=(num_seeds, 1)))
    noise = np.exp(0.03 * random.normal(size=(num_seeds, len(steps))))
    return (ends + (initial - ends) / (1 + steps / times) ** 2) * noise


def _result(random, curves, name, step_time) -> dict[str, Any]:
    *_, memory, milliseconds = NAMES[name]
    final = curves[:, -1] * np.exp(0.02 * random.normal(size=len(curves)))
    return {
        "setting": {"learning_rate": 0.01} if name != "learned optimizer" else {},
        "final_train_loss": final.tolist(),
        "test_loss": (final * 1.1 + 0.05).tolist(),
        "trajectory_mean": np.mean(curves, axis=1).tolist(),
        "curves": curves.tolist(),
        "diverged": 0,
        "update_milliseconds": milliseconds * step_time,
        "step_milliseconds": step_time * (1 + milliseconds / 2),
        "state_bytes_per_parameter": memory + 4.0,
    }


def _diverge(result: dict[str, Any], share: float) -> None:
    """Lets the first runs diverge at half of their way."""
    number = max(1, int(share * len(result["curves"]) / 2))
    for seed in range(number):
        curve = result["curves"][seed]
        curve[len(curve) // 2 :] = [None] * (len(curve) - len(curve) // 2)
        for measure in ("final_train_loss", "test_loss", "trajectory_mean"):
            result[measure][seed] = None
    result["diverged"] = number
