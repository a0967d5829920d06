"""Exports on the Hugging Face Hub: `push` one there, and `from_hub` get one from there.

    path = metaopt.hub.from_hub("someone/an-optimizer")
    optimizer = metaopt.load(path)

Only the files of an export go either way: JSON, safetensors, a reference trajectory and a model
card. What was fetched is checked as any export is. Needs no JAX.
"""

import os
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from metaopt import export_files
from metaopt.export_files import CARD, CONFIG, EVALUATION, GOLDEN, MODEL
from taskset.errors import InputError

FILES = (CONFIG, MODEL, GOLDEN, EVALUATION, CARD)


def push(
    path: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Puts the export at `path` into the repository `repo_id`, which is made if need be.

    Returns the address of the commit. Raises `InputError` where `path` is no sound export, and
    where the hub refuses.
    """
    export_files.check_unchanged(export_files.read(path))
    hub = huggingface_hub.HfApi(endpoint=endpoint, token=token)
    try:
        hub.create_repo(repo_id, private=private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=repo_id,
            folder_path=Path(path),
            allow_patterns=list(FILES),
            commit_message="An optimizer by metaopt",
        )
    except HfHubHTTPError as error:
        raise _refused(f"cannot push {path} to {repo_id}", error) from error
    return commit.commit_url


def from_hub(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """The folder of an export that was fetched from `repo_id`, for `metaopt.load`.

    Raises `InputError` where there is none, where it cannot be fetched, and where it is damaged.
    """
    try:
        path = huggingface_hub.snapshot_download(
            repo_id,
            revision=revision,
            token=token,
            endpoint=endpoint,
            cache_dir=None if cache_dir is None else Path(cache_dir),
            allow_patterns=list(FILES),
        )
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise _refused(f"cannot fetch {repo_id}", error) from error
    export_files.check_unchanged(export_files.read(path))
    return Path(path)


def _refused(what: str, error: Exception) -> InputError:
    return InputError(f"{what}: {' '.join(str(error).split())[:200]}")
