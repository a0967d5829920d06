"""Exports that were mutated: both loaders refuse them in one line, or load what the files say."""

import json
import resource
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torch
from mutations import FILES, mutant

import metaopt
from metaopt import exports
from metaopt.export_files import CONFIG, MODEL
from metaopt.learned_optimizers import (
    CoordinatewiseLSTM,
    HyperController,
    LearnableAdam,
    PerParameterMLP2019,
)
from metaopt.learned_optimizers.base import named_leaves
from metaopt.torch import LearnedOptimizer, reading
from taskset.errors import InputError

NUM_FUZZED = 10_000  # by each loader
MAX_GROWTH = 200 * 2**20  # bytes of memory
# Arguments are numbers, switches and choices; the compiled programs are small.
OPTIMIZERS = [LearnableAdam(), PerParameterMLP2019(), CoordinatewiseLSTM(), HyperController()]
OLD = Path(__file__).parents[1] / "data" / "export_of_format_1"
TRACED = set()


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """The contents of the files of five exports, one of them of format 1."""
    folder, folders = tmp_path_factory.mktemp("originals"), [OLD]
    for optimizer in OPTIMIZERS:
        weights = optimizer.init(jax.random.key(0))
        folders.append(exports.export(folder / type(optimizer).__name__, optimizer, weights))
    return [{name: (folder / name).read_bytes() for name in FILES} for folder in folders]


def by_jax(path):
    """All but the reference trajectory, which takes a second to compile: a step is traced."""
    transformation, params = metaopt.load(path, check=False), jnp.ones((2, 3))
    optimizer, weights, _ = exports.read(path)
    if optimizer not in TRACED:  # weights of the same shapes make no other step
        step = lambda x: transformation.update(x, transformation.init(x), x)
        assert jax.eval_shape(step, params)[0].shape == params.shape
        TRACED.add(optimizer)
    return type(optimizer).__name__, named_leaves(weights)


def by_torch(path):
    """With the reference trajectory."""
    param = torch.nn.Parameter(torch.ones(2, 3))
    param.grad = torch.ones(2, 3)
    LearnedOptimizer([param], path).step()
    assert torch.all(torch.isfinite(param))
    return (files := reading.read(path).files).kind, files.arrays


def refuses(load, path) -> bool:
    """Whether a loader refuses an export in one line; if it does not, it loads what it says."""
    try:
        kind, weights = load(path)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000 and str(path) in str(error)
        return True
    assert kind == json.loads((path / CONFIG).read_bytes())["kind"]
    said = safetensors.numpy.load((path / MODEL).read_bytes())
    assert set(weights) == set(said)
    assert all(np.array_equal(weights[name], array) for name, array in said.items())
    assert all(np.all(np.isfinite(array)) for array in said.values())
    return False


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("load", [by_jax, by_torch])
def test_mutated_exports_are_refused_in_one_line_or_loaded_as_they_are(load, originals, tmp_path):
    draw, num_refused = np.random.RandomState(0), 0
    for i in range(NUM_FUZZED):
        for name, content in mutant(originals[i % len(originals)], draw).items():
            (tmp_path / name).write_bytes(content)
        num_refused += refuses(load, tmp_path)
        if i == NUM_FUZZED // 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert 0.8 * NUM_FUZZED < num_refused < 0.97 * NUM_FUZZED
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < MAX_GROWTH
