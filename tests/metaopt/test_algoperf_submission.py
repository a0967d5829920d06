"""The submission to AlgoPerf runs against what its documentation says of the interface."""

import enum
import importlib.util
import itertools
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaopt
from metaopt.learned_optimizers import LearnableMomentum
from workers.commands.export import written_submission


class Workload:
    step_hint = 10

    def model_fn(self, params, batch, model_state, mode, rng, update_batch_norm):
        assert mode.name == "TRAIN" and update_batch_norm
        return batch["inputs"] @ params["weight"], {"seen": model_state["seen"] + 1}

    def loss_fn(self, label_batch, logits_batch, mask_batch=None, label_smoothing=0.0):
        losses = jnp.square(label_batch - logits_batch)
        return {"summed": losses.sum(), "n_valid_examples": len(losses), "per_example": losses}


@pytest.fixture
def submission(tmp_path, monkeypatch):
    spec = types.ModuleType("algoperf.spec")
    spec.ForwardPassMode = enum.Enum("ForwardPassMode", "TRAIN EVAL")
    package = types.ModuleType("algoperf")
    package.spec = spec
    monkeypatch.setitem(sys.modules, "algoperf", package)
    monkeypatch.setitem(sys.modules, "algoperf.spec", spec)
    optimizer = LearnableMomentum()
    folder = written_submission(
        tmp_path / "submission",
        lambda path: metaopt.export(path, optimizer, optimizer.init(jax.random.key(0))),
    )
    found = importlib.util.spec_from_file_location("submission", folder / "submission.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_it_trains(submission):
    draw, workload, key = np.random.RandomState(0), Workload(), jax.random.key(0)
    inputs = draw.randn(8, 2).astype(np.float32)
    queue = itertools.repeat({"inputs": inputs, "targets": inputs.sum(1), "weights": None})
    params, model_state = {"weight": jnp.zeros(2)}, {"seen": jnp.zeros(())}
    state = submission.init_optimizer_state(workload, params, model_state, None, key)
    for step in range(5):
        batch = submission.data_selection(
            workload, queue, state, params, model_state, None, step, key
        )
        state, params, model_state = submission.update_params(
            workload, params, None, model_state, None, batch, None, state, [], step, key
        )
    evaluated = submission.prepare_for_eval(
        workload, params, None, model_state, None, None, state, [], 5, key
    )
    assert evaluated[1] is params and model_state["seen"] == 5
    assert 0 < float(params["weight"][0]) < 1
    assert submission.get_batch_size("ogbg") == 512
