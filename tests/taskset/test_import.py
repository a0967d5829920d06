"""What importing taskset costs."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("taskset.errors", {"jax"}),
        ("taskset.catalog", {"sklearn", "tensorflow_datasets", "tensorflow", "ray"}),
    ],
)
def test_heavy_packages_are_imported_only_when_needed(module, absent):
    program = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert module in done.stdout.split()
    assert not absent & set(done.stdout.split())


def test_every_public_name_can_be_imported():
    import taskset

    assert "MLPFamily" in dir(taskset)
    assert all(getattr(taskset, name) is not None for name in dir(taskset))
    with pytest.raises(AttributeError, match="no attribute 'MPLFamily'"):
        taskset.MPLFamily  # noqa: B018
