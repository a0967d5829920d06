"""The folder that a job takes to the cluster: small, and with nothing secret in it."""

import fnmatch
import os
import shutil
from pathlib import Path

from taskset.errors import InputError

MAX_BYTES = 20 * 2**20

# What no job needs, and what nobody but its owner may have. Matched with every part of a path.
LEFT_OUT = (
    *(".git", ".venv", "venv", "node_modules", "__pycache__", "*.egg-info", "runs", "dist"),
    *(".*_cache", ".DS_Store", "*.pyc"),
    *(".env", ".env.*", "*.env", ".netrc", ".pypirc", ".npmrc", ".ray", ".aws", ".ssh", ".config"),
    *(".kube", ".docker", ".gnupg", "id_rsa*", "id_ed25519*", "id_ecdsa*", "*.pem", "*.key"),
    *("*.p12", "*.pfx", "token", "token.*", "*_token", "*_token.*", "*-token", "*-token.*"),
    *("*secret*", "*credential*", "*password*", "kubeconfig*"),
)


def pack(folder: Path, into: Path) -> tuple[str, ...]:
    """Copies the files of `folder` to `into`, less `LEFT_OUT` and links that lead out of it.

    Returns what was left out. Raises `InputError` when it is no folder, or more than 20 MiB.
    """
    if not folder.is_dir():
        raise InputError(f"--working-dir {folder} is not a folder")
    files, left_out = _sorted_out(folder.resolve())
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
    return tuple(map(str, left_out))


def _sorted_out(root: Path) -> tuple[list[Path], list[Path]]:
    """The files to take, and the files and folders not to, relative to `root`."""
    files, left_out = [], []
    for parent, folders, names in os.walk(root):
        at = Path(parent).relative_to(root)
        left_out += [at / name for name in folders if _is_left_out(name)]
        folders[:] = sorted(name for name in folders if not _is_left_out(name))
        for name in sorted(names):
            leads_to = Path(parent, name).resolve()
            inside = leads_to.is_file() and leads_to.is_relative_to(root)
            refused = _is_left_out(name) or _is_left_out(leads_to.name) or not inside
            (left_out if refused else files).append(at / name)
    return files, left_out


def _is_left_out(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in LEFT_OUT)
