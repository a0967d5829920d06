"""`LearnedOptimizer` is an optimizer of PyTorch like any other."""

import copy
import dataclasses
import io
import pickle
import subprocess
import sys

import jax
import pytest
import torch
from bare_exports import bare_export
from small_optimizers import small

from metaopt import exports
from metaopt.learned_optimizers import FactoredMLP, LearnableAdam
from metaopt.torch import LearnedOptimizer
from metaopt.torch.reading import KINDS
from taskset.errors import InputError

SEVERAL = ("FactoredMLP", "Hierarchical", "LearnableAdam", "VeLO")  # of every kind of state


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    return {kind: bare_export(folder / kind, small(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def path(paths):
    """Of an optimizer without memory of more than its accumulators."""
    return paths["FactoredMLP"]


def network(seed=0):
    torch.manual_seed(seed)
    layers = [torch.nn.Conv1d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(18, 1)]
    return torch.nn.Sequential(*layers)


def loss_of(model):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(16, 2, 8, generator=generator).to(next(model.parameters()).dtype)
    return (model(x) - x.sum((1, 2))[:, None]).square().mean()


def train(model, optimizer, num_steps):
    losses = []
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step(value=loss)
        losses.append(loss.item())
    return losses


def make(path, model=None, **options):
    model = network() if model is None else model
    return model, LearnedOptimizer(model.parameters(), path, check=False, **options)


def parameters(model):
    return [p.detach().clone() for p in model.parameters()]


def assert_same(first, second):
    for x, y in zip(first, second, strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("kind", SEVERAL)
def test_a_state_dict_goes_on_with_the_same_bits(kind, paths):
    model, optimizer = make(paths[kind], num_steps=9)
    train(model, optimizer, 4)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other, resumed = make(paths[kind], network(3), num_steps=9)
    other.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["optimizer"])
    assert train(model, optimizer, 3) == train(other, resumed, 3)
    assert_same(parameters(model), parameters(other))


def test_a_state_dict_of_narrow_parameters_keeps_wide_accumulators(path):
    model, optimizer = make(path, network().bfloat16())
    train(model, optimizer, 2)
    other, resumed = make(path, copy.deepcopy(model))
    resumed.load_state_dict(optimizer.state_dict())
    assert {x.dtype for s in resumed.state.values() for x in s.values()} == {torch.float32}
    train(model, optimizer, 2), train(other, resumed, 2)
    assert_same(parameters(model), parameters(other))


def test_a_state_of_another_optimizer_is_refused(path):
    model, optimizer = make(path)
    adam = torch.optim.Adam(model.parameters())
    with pytest.raises(InputError, match="no state of a LearnedOptimizer"):
        optimizer.load_state_dict(adam.state_dict())


@pytest.mark.parametrize("kind", SEVERAL)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_does_the_same(kind, duplicate, paths):
    model, optimizer = make(paths[kind])
    train(model, optimizer, 2)
    other, copied = duplicate((model, optimizer))
    assert train(model, optimizer, 2) == train(other, copied, 2)
    assert_same(parameters(model), parameters(other))


def test_a_closure_computes_loss_and_gradients(paths):
    def closure():
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss

    model, optimizer = make(paths["Celo"], lr=100.0)
    before, loss = parameters(model), loss_of(model).item()
    assert optimizer.step(closure).item() == loss
    assert not all(torch.equal(x, y) for x, y in zip(before, model.parameters(), strict=True))
    other, by_value = make(paths["Celo"], lr=100.0)
    train(other, by_value, 1)
    assert_same(parameters(model), parameters(other))


def test_groups_have_rates_and_schedulers_change_them(path):
    model = network()
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.5}]
    optimizer = LearnedOptimizer(groups, path, check=False)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.1**step)
    before = parameters(model)
    train(model, optimizer, 1)
    once = parameters(model)
    plain, unscaled = make(path)
    train(plain, unscaled, 1)
    whole = [p - b for p, b in zip(parameters(plain), before, strict=True)]
    for share, x, b, full in zip((1, 1, 0.5, 0.5), once, before, whole, strict=True):
        torch.testing.assert_close(x - b, share * full, rtol=1e-3, atol=1e-7)
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.05])


def test_weight_decay_is_decoupled(path):
    model, optimizer = make(path)
    decayed, with_decay = make(path, lr=0.5, weight_decay=0.25)
    before = parameters(model)
    train(model, optimizer, 1), train(decayed, with_decay, 1)
    for b, x, y in zip(before, parameters(model), parameters(decayed), strict=True):
        torch.testing.assert_close(y, b + 0.5 * (x - b - 0.25 * b), rtol=1e-5, atol=1e-6)


def test_a_group_that_is_added_later_moves(path):
    model = network()
    optimizer = LearnedOptimizer(model[0].parameters(), path, check=False)
    train(model, optimizer, 2)
    optimizer.add_param_group({"params": model[2].parameters()})
    before = parameters(model)
    train(model, optimizer, 1)
    assert not any(torch.equal(x, y) for x, y in zip(before, parameters(model), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_odd_tensors(kind, paths):
    shapes = [(), (1,), (0, 3), (2, 2, 1, 2, 2)]
    params = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    params += [torch.nn.Parameter(torch.randn(3).to(x)) for x in (torch.bfloat16, torch.float64)]
    without, frozen = torch.nn.Parameter(torch.ones(2)), torch.ones(2)
    before = [p.detach().clone() for p in params]
    optimizer = LearnedOptimizer([*params, without, frozen], paths[kind], check=False)
    for _ in range(3):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    assert all(torch.isfinite(p).all() for p in params)
    assert torch.equal(without, torch.ones(2)) and torch.equal(frozen, torch.ones(2))
    assert {x.dtype for x in optimizer.state[params[5]].values()} <= {torch.float64, torch.float32}
    if kind != "VeLO":  # moves a tensor of a size near 0 by nothing
        assert any(not torch.equal(x, y) for x, y in zip(before, params, strict=True))


def test_a_step_without_gradients_is_a_step(path):
    _, optimizer = make(path)
    optimizer.step()
    assert optimizer.state_dict()["run"]["step"] == 1


@pytest.mark.parametrize("kind", ["HyperController", "Celo"])
def test_losses_that_are_not_finite_are_passed_over(kind, paths):
    model, optimizer = make(paths[kind])
    train(model, optimizer, 1)
    for value in (float("nan"), float("inf")):
        optimizer.step(value=value)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_what_cannot_be_moved_is_refused(path):
    with pytest.raises(InputError, match="complex64"):
        LearnedOptimizer([torch.zeros(2, dtype=torch.complex64)], path, check=False)
    sparse = torch.nn.Parameter(torch.ones(2))
    optimizer = LearnedOptimizer([sparse], path, check=False)
    sparse.grad = torch.ones(2).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()


def test_rates_for_tensors_and_horizons_are_checked(tmp_path):
    path = bare_export(tmp_path / "tensors", LearnableAdam(num_tensors=2))
    with pytest.raises(InputError, match="rates for 2 tensors, and the parameters have 4"):
        train(*make(path), 1)
    path = bare_export(tmp_path / "knots", LearnableAdam(num_knots=2))
    with pytest.raises(InputError, match="give num_steps"):
        make(path)


def test_the_reference_trajectory_is_run(tmp_path):
    path = bare_export(tmp_path / "still", FactoredMLP())
    with pytest.raises(InputError, match="does not reproduce its reference trajectory"):
        LearnedOptimizer([torch.zeros(1)], path)
    optimizer = dataclasses.replace(FactoredMLP(), step_multiplier=0.1)
    exports.export(tmp_path / "good", optimizer, optimizer.init(jax.random.key(0)))
    LearnedOptimizer([torch.zeros(1)], tmp_path / "good")


WITHOUT_JAX = """
import sys
sys.modules["jax"] = sys.modules["jaxlib"] = sys.modules["optax"] = None
import torch
from metaopt.torch import LearnedOptimizer
param = torch.nn.Parameter(torch.ones(3))
optimizer = LearnedOptimizer([param], sys.argv[1], check=False)
param.grad = torch.ones(3)
optimizer.step()
assert not torch.equal(param, torch.ones(3))
"""


def test_no_jax_is_needed(path):
    command = [sys.executable, "-c", WITHOUT_JAX, str(path)]
    subprocess.run(command, check=True, timeout=120)
