"""An estimate on eight devices is that on one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from toys import Poisoned

from metaopt.estimators import PersistentES, devices
from taskset.errors import InputError
from workers.config import RunConfig

TESTS = Path(__file__).parents[2]
FORCED = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}

# Of an estimator of each kind, three calls; then workers, which go on from each other's states.
ON_EIGHT_DEVICES = """
import jax, numpy as np
from toys import Poisoned, Spike
from metaopt import estimators
from metaopt.aggregate import Weights
from metaopt.estimators import devices
from metaopt.horizons import Fixed
from workers.worker import WorkerSpec, programs

THETA, CONTEXT = np.float32(-1.0), estimators.Context()
# With small perturbations, rounding of the losses would decide over the last digits.
ES = {"problem": Poisoned(), "num_tasks": 16, "horizon": Fixed(6), "stddev": 0.5}
ESTIMATORS = [
    estimators.PersistentES(**ES, truncation=3, normalization="rank"),
    estimators.FullES(**ES),
    estimators.TruncatedBackprop(Poisoned(), 16, 3, Fixed(6)),
]

def results(estimator, num_devices):
    init, estimate = programs(estimator, num_devices)
    data = devices.on_each(Spike(jax.numpy.float32(1.0)), num_devices)
    state, found = init(THETA, data, jax.random.key(0), CONTEXT), []
    for seed in range(3):
        one, state = estimate(THETA, state, data, jax.random.key(seed), CONTEXT)
        found.append(one)
    for leaf in jax.tree.leaves(state):
        assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {16 // num_devices}
    return jax.tree.leaves(jax.device_get((found, state)))

for estimator in ESTIMATORS:
    for one, eight in zip(results(estimator, 1), results(estimator, 8), strict=True):
        np.testing.assert_allclose(eight, one, rtol=1e-6, atol=1e-6)

def worker(num_devices):
    return WorkerSpec(0, "poisoned", ESTIMATORS[0], seed=0, num_devices=num_devices).build()

here, there = worker(1), worker(8)
weights = Weights(0, THETA, {})
for each in (here, there):
    each.compute(weights)
there.restore(here.snapshot(), weights.meta_params)
here.restore(there.snapshot(), weights.meta_params)
first, second = (each.compute(weights).estimate.gradient for each in (here, there))
np.testing.assert_allclose(first, second, rtol=1e-6)
"""


@pytest.mark.slow
def test_eight_devices_give_what_one_gives():
    environment = os.environ | FORCED | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    command = [sys.executable, "-c", ON_EIGHT_DEVICES]
    done = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_tasks_have_to_divide():
    with pytest.raises(InputError, match="12, which 8 devices cannot divide equally; use 16 tasks"):
        devices.programs(PersistentES(Poisoned(), 12), 8)
    table = {"workers": {"devices": 3}, "estimator": {"num_tasks": 16}}
    with pytest.raises(InputError, match="use 15 tasks"):
        RunConfig.from_table(table)


def test_devices_have_to_be_there():
    with pytest.raises(InputError, match=r"on 64 devices, and this process has \d+ \(cpu\)"):
        devices.programs(PersistentES(Poisoned(), 64), 64)
