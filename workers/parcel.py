"""The folder that a job takes to the cluster: small, and with nothing secret in it."""

import fnmatch
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from taskset.errors import InputError

MAX_BYTES = 20 * 2**20

# What no job needs, and what nobody but its owner may have. Matched with every part of a path.
LEFT_OUT = (
    *(".git", ".venv", "venv", "node_modules", "__pycache__", "*.egg-info", "runs", "dist"),
    *(".*_cache", ".DS_Store", "*.pyc"),
    *(".env", ".env.*", "*.env", ".netrc", ".pypirc", ".npmrc", ".ray", ".aws", ".ssh", ".config"),
    *(".kube", ".docker", ".gnupg", "id_rsa*", "id_ed25519*", "id_ecdsa*", "*.pem", "*.key"),
    *("*.p12", "*.pfx", "*token*", "*secret*", "*credential*", "*password*", "kubeconfig*"),
)


def pack(folder: Path, into: Path) -> None:
    """Copies the files of `folder` to `into`, less `LEFT_OUT` and links that lead out of it.

    Raises `InputError` when it is not a folder, or more than 20 MiB.
    """
    if not folder.is_dir():
        raise InputError(f"--working-dir {folder} is not a folder")
    files = list(_files(folder.resolve()))
    sizes = {path: (folder / path).stat().st_size for path in files}
    if sum(sizes.values()) > MAX_BYTES:
        largest = max(files, key=lambda path: sizes[path])
        raise InputError(
            f"--working-dir {folder} has {sum(sizes.values()) / 2**20:.0f} MiB, and at most "
            f"{MAX_BYTES // 2**20} go to a cluster; the largest is {largest}. Put what the job "
            "needs into a folder of its own, or data where the nodes find them"
        )
    for path in files:
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, target)


def _files(root: Path) -> Iterator[Path]:
    """The files to take, relative to `root`."""
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_left_out(name))
        for name in sorted(names):
            path = Path(parent, name)
            inside = path.is_file() and path.resolve().is_relative_to(root)
            if inside and not _is_left_out(name) and not _is_left_out(path.resolve().name):
                yield path.relative_to(root)


def _is_left_out(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in LEFT_OUT)
