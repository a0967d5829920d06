"""The environment of a worker process. It has to be there before JAX is imported.

A worker is one core. One thread per worker costs no more than the threads of one worker would gain
on programs of small tensors, takes less CPU time per estimate, and scales with the number of
workers as long as there are cores.
"""

import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path


def worker_environment(num_gpus: float = 0.0) -> dict[str, str]:
    """The variables for a worker that owns `num_gpus` GPUs, which may be a share of one.

    A variable that is set already keeps its value, so each can be chosen from outside. Does not
    import JAX. Makes the folder of the compilation cache; where it cannot, there is no cache.
    """
    variables = {"NPROC": "1", **_device_variables(num_gpus), **cache_variables()}
    return {name: os.environ.get(name, value) for name, value in variables.items()}


def compilation_cache() -> Path:
    """Where compiled programs of this machine are kept: ~/.cache/metaopt/jax/<jaxlib and CPU>.

    Programs for the CPU are native code, so each kind of CPU has a folder of its own.
    """
    kind = f"{importlib.metadata.version('jaxlib')}-{_cpu_identity()}"
    return Path.home() / ".cache" / "metaopt" / "jax" / kind


def _device_variables(num_gpus: float) -> dict[str, str]:
    if num_gpus == 0:
        return {"JAX_PLATFORMS": "cpu"}
    if num_gpus < 1:  # JAX would take three quarters of the memory, whatever the share
        return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 * num_gpus:.3f}"}
    return {}


def cache_variables() -> dict[str, str]:
    """The variables for a persistent compilation cache; none where there is no folder for it.

    Its folder has to be this user's own.
    """
    try:
        folder = compilation_cache()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)  # whoever can write here can run code as this user
        owner = folder.stat().st_uid
    except (OSError, RuntimeError):  # no home, or not a writable one
        return {}
    if owner != os.getuid():  # as whoever is root finds in the home of another
        return {}
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def _cpu_identity() -> str:
    try:
        lines = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines())
        kept = sorted(x for x in lines if x.startswith(("model name", "flags", "Features")))
    except OSError:
        kept = [platform.machine(), platform.processor()]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:12]
