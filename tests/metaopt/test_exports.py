"""Exports: what is loaded is what was trained, and anything else is refused in one line."""

import dataclasses
import functools
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy
import torch
from small_optimizers import small

import metaopt
from metaopt import export_files, exports, golden, model_card
from metaopt.baselines.one_rate import Adam
from metaopt.learned_optimizers import KINDS, Celo2, FactoredMLP
from metaopt.torch import LearnedOptimizer
from taskset.errors import InputError

PARAMS = {"weight": jnp.linspace(-1, 1, 12).reshape(3, 4), "bias": jnp.linspace(0, 1, 4)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A good export, not to be changed."""
    path = tmp_path_factory.mktemp("exports") / "good"
    optimizer = FactoredMLP(step_multiplier=0.5)
    meta_params = optimizer.init(jax.random.key(3))
    return metaopt.export(path, optimizer, meta_params, provenance={"seed": 3, "num_steps": 7})


@pytest.fixture
def copy(exported, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(exported, tmp_path / "copy")


def one_update(transformation, **extra_args):
    state = transformation.init(PARAMS)
    gradients = jax.tree.map(jnp.cos, PARAMS)
    return transformation.update(gradients, state, PARAMS, **extra_args)[0]


def assert_equal(first, second):
    for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("kind", KINDS)
def test_loads_to_the_same_bits_and_by_torch(kind, tmp_path):
    optimizer = small(kind)
    meta_params = optimizer.init(jax.random.key(1))
    metaopt.export(tmp_path / "out", optimizer, meta_params)
    loaded = metaopt.load(tmp_path / "out", num_steps=5)
    LearnedOptimizer([torch.zeros(1)], tmp_path / "out")
    built = optimizer.as_optax(meta_params, num_steps=5)
    assert_equal(*(jax.jit(lambda t=t: one_update(t))() for t in (loaded, built)))
    assert exports.read(tmp_path / "out").optimizer == optimizer


def test_files_and_their_content(exported):
    names = {path.name for path in exported.iterdir()}
    assert names == {"config.json", "model.safetensors", "golden.npz", "README.md"}
    config = json.loads((exported / "config.json").read_text())
    assert config["num_meta_params"] == 197
    assert config["arguments"]["step_multiplier"] == 0.5
    assert config["constants"]["momentum_decays"] == [0.9, 0.99, 0.999]
    arrays = safetensors.numpy.load_file(exported / "model.safetensors")
    assert arrays["network.layer0.weight"].shape == (39, 4)
    assert "seed: 3" in (exported / "README.md").read_text()


def test_learning_rate_is_a_number_or_a_schedule(exported):
    plain = one_update(metaopt.load(exported, check=False))
    halved = one_update(metaopt.load(exported, learning_rate=0.5, check=False))
    assert_equal(halved, jax.tree.map(lambda u: u * 0.5, plain))
    schedule = optax.constant_schedule(0.5)
    assert_equal(one_update(metaopt.load(exported, learning_rate=schedule, check=False)), halved)


@pytest.mark.parametrize("check", [True, False])
def test_numbers_can_be_injected(exported, check: bool):
    inject = optax.inject_hyperparams(metaopt.load)
    injected = inject(str(exported), learning_rate=0.5, num_steps=5, check=check)
    halved = metaopt.load(exported, learning_rate=0.5, check=False)
    jitted = optax.GradientTransformationExtraArgs(jax.jit(injected.init), jax.jit(injected.update))
    for x, y in zip(*map(jax.tree.leaves, map(one_update, (jitted, halved))), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)


def test_accumulators_and_width_are_options_too(exported):
    load = functools.partial(metaopt.load, exported, check=False)
    state = load(accumulator_dtype="bfloat16").init(PARAMS)
    assert {x.dtype for x in jax.tree.leaves(state) if x.ndim} == {jnp.dtype(jnp.bfloat16)}
    narrow = PARAMS | {"weight": jnp.ones((1, 4))}
    plain, scaled = one_update(load()), one_update(load(base_params=narrow))
    assert_equal(scaled, plain | {"weight": plain["weight"] / 3})


def test_state_keeps_its_types(exported):
    transformation = metaopt.load(exported, learning_rate=optax.cosine_decay_schedule(1.0, 9))
    types = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)
    state = transformation.init(PARAMS)
    with jax.numpy_dtype_promotion("standard"):
        _, after = transformation.update(PARAMS, state, PARAMS)
    assert types(after) == types(state)


def test_the_golden_trajectory_is_that_of_a_plain_loop(exported):
    arrays = dict(np.load(exported / "golden.npz"))
    transformation = metaopt.load(exported)
    params = {name: jnp.asarray(arrays[f"param/{name}"]) for name in golden.SHAPES}
    state = transformation.init(params)
    for step in range(golden.NUM_STEPS):
        gradients = {
            name: jnp.asarray(arrays[f"noise/{name}"][step]) + 0.1 * params[name] for name in params
        }
        updates, state = transformation.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        for name, param in params.items():
            np.testing.assert_allclose(param, arrays[f"after/{name}"][step], rtol=1e-4, atol=1e-5)


def test_an_existing_folder_is_left_alone(exported):
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    with pytest.raises(InputError, match="exists"):
        metaopt.export(exported, FactoredMLP(), FactoredMLP().init(jax.random.key(0)))
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m["network"]["layer0"].update(weight=jnp.zeros((38, 4))),
            r"needs \[39, 4\]",
        ),
        (lambda m: m["network"].pop("layer1"), "lack 'network.layer1.bias'"),
        (lambda m: m.update(extra=jnp.zeros(1)), "unknown 'extra'"),
        (lambda m: m.update(momentum_decay=jnp.full(3, jnp.nan)), "not finite"),
    ],
)
def test_meta_params_that_do_not_fit_are_not_exported(change, message, tmp_path):
    meta_params = FactoredMLP().init(jax.random.key(0))
    change(meta_params)
    with pytest.raises(InputError, match=message):
        metaopt.export(tmp_path / "out", FactoredMLP(), meta_params)
    assert not list(tmp_path.iterdir())


def test_only_registered_kinds_are_exported(tmp_path):
    with pytest.raises(InputError, match="'Adam'"):
        metaopt.export(tmp_path / "out", Adam(), Adam().init(jax.random.key(0)))


def edit_weights(path, factor: float) -> None:
    arrays = safetensors.numpy.load_file(path / "model.safetensors")
    arrays["network.layer2.weight"] = arrays["network.layer2.weight"] * np.float32(factor)
    safetensors.numpy.save_file(arrays, path / "model.safetensors")


def test_edited_weights_are_refused_by_their_checksum(copy):
    edit_weights(copy, 1 + 1e-6)
    with pytest.raises(InputError, match=r"model\.safetensors does not have its checksum"):
        metaopt.load(copy, check=False)


def test_edited_weights_are_refused_by_the_golden_trajectory(copy):
    edit_weights(copy, 1.01)
    sign(copy)
    with pytest.raises(InputError, match="does not reproduce its reference trajectory"):
        metaopt.load(copy)


def test_a_file_of_the_wrong_shape_is_refused(copy):
    arrays = safetensors.numpy.load_file(copy / "model.safetensors")
    arrays["momentum_decay"] = np.zeros(4, np.float32)
    safetensors.numpy.save_file(arrays, copy / "model.safetensors")
    with pytest.raises(InputError, match=r"momentum_decay.*\[4\].*needs \[3\]"):
        metaopt.load(copy)


def sign(path) -> None:
    """Gives the files the checksums that they should have."""
    contents = {name: (path / name).read_bytes() for name in ("model.safetensors", "golden.npz")}
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(export_files.signed(config, contents)))


def damage_config(**fields):
    def damage(path):
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | fields))

    return damage


def damage_argument(name, value):
    arguments = dataclasses.asdict(FactoredMLP()) | {name: value}
    return damage_config(arguments=arguments)


def damage_golden(name, array):
    def damage(path):
        arrays = dict(np.load(path / "golden.npz"))
        np.savez(path / "golden.npz", **(arrays | {name: array}))

    return damage


def truncate(name):
    def damage(path):
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[: len(content) // 2])

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate("model.safetensors"), "model.safetensors is damaged"),
        (truncate("golden.npz"), "golden.npz is damaged"),
        (truncate("config.json"), "config.json is damaged"),
        (lambda path: (path / "model.safetensors").unlink(), "cannot be read"),
        (lambda path: (path / "golden.npz").unlink(), "cannot be read"),
        (lambda path: (path / "config.json").unlink(), "is not an export"),
        (damage_config(format_version=99), "has format 99; this metaopt reads 1 and 2"),
        (damage_config(kind="FactoredMPL"), "did you mean 'FactoredMLP'"),
        (damage_config(kind=["FactoredMLP"]), r"config.json is damaged: see \['kind'\]"),
        (damage_config(arguments={}), "arguments of FactoredMLP"),
        (damage_config(arguments=[1]), r"config.json is damaged: see \['arguments'\]"),
        (damage_argument("hidden_size", "abc"), "hidden_size is 'abc'; FactoredMLP needs int"),
        (damage_argument("hidden_size", True), "hidden_size is True"),
        (damage_argument("hidden_size", -1), "hidden_size=-1.*cannot be built"),
        (damage_argument("step_multiplier", None), "step_multiplier is None"),
        (damage_golden("param/scalar", np.zeros(3, np.float32)), "golden.npz is damaged"),
        (damage_golden("param/scalar", np.asarray("x")), "golden.npz is damaged"),
        (lambda path: (path / "golden.npz").write_bytes(b""), "golden.npz is damaged"),
        (lambda path: (path / "config.json").write_text("[1]"), "config.json is damaged"),
        (damage_config(constants={}), "was made for constants"),
    ],
)
def test_damage_is_named(copy, damage, message):
    damage(copy)
    with pytest.raises(InputError, match=message) as caught:
        metaopt.load(copy)
    assert str(copy) in str(caught.value) and "\n" not in str(caught.value)


def test_the_snippet_runs(exported):
    def loss_of(params):
        return jnp.sum(jnp.square(params["weight"])) + jnp.sum(jnp.square(params["bias"]))

    loss, gradients = jax.value_and_grad(loss_of)(PARAMS)
    scope = {"params": PARAMS, "gradients": gradients, "loss": loss}
    code = model_card.snippet(str(exported), 7)
    assert len(code.splitlines()) == 5
    exec(code, scope)
    assert not np.array_equal(scope["params"]["weight"], PARAMS["weight"])


OLD = Path(__file__).parents[1] / "data" / "export_of_format_1"  # that format 1 wrote


def test_an_export_of_format_1_is_read():
    assert json.loads((OLD / "config.json").read_text())["format_version"] == 1
    optimizer = Celo2(learning_rate=0.01)
    exported = exports.read(OLD)
    assert exported.optimizer == optimizer
    assert_equal(exported.meta_params, optimizer.init(jax.random.key(5)))
    metaopt.load(OLD)
    LearnedOptimizer([torch.zeros(1)], OLD)


def test_what_format_1_said_is_checked(tmp_path):
    path = shutil.copytree(OLD, tmp_path / "copy")
    config = json.loads((path / "config.json").read_text())
    config["constants"]["vector_multiple"] = 10.0
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="constants other than those"):
        metaopt.load(path)
    with pytest.raises(InputError, match="does not reproduce"):
        LearnedOptimizer([torch.zeros(1)], path)
