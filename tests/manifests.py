"""The manifests under `deploy/kuberay`, and what they are held against."""

import functools
import gzip
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).parents[1]
KUBERAY = ROOT / "deploy" / "kuberay"
SCHEMAS = ROOT / "tests" / "deploy" / "schemas"

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def job() -> Document:
    """The RayJob with the cluster of the base in it, as kustomize makes it."""
    (job,) = documents(KUBERAY / "job" / "ray_job.yaml")
    (cluster,) = documents(KUBERAY / "base" / "ray_cluster.yaml")
    return job | {"spec": job["spec"] | {"rayClusterSpec": cluster["spec"]}}


@functools.cache
def built(overlay: str) -> list[Document]:
    """What `kubectl kustomize` makes of an overlay."""
    command = ["kubectl", "kustomize", str(KUBERAY / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def has_kubectl() -> bool:
    return shutil.which("kubectl") is not None


def cluster_spec(document: Document) -> Document:
    spec = document["spec"]
    return spec if document["kind"] == "RayCluster" else spec["rayClusterSpec"]


def pods(spec: Document) -> Iterator[tuple[str, Document]]:
    """The specification of each kind of pod of a cluster, by name of its group."""
    yield "head", spec["headGroupSpec"]["template"]["spec"]
    for group in spec["workerGroupSpecs"]:
        yield group["groupName"], group["template"]["spec"]


@functools.cache
def _validators() -> dict[tuple[str, str], Draft7Validator]:
    validators = {}
    for path in SCHEMAS.glob("*.json.gz"):
        entry = json.loads(gzip.decompress(path.read_bytes()))
        validators[entry["apiVersion"], entry["kind"]] = Draft7Validator(entry["schema"])
    return validators


def errors(document: Document) -> list[str]:
    """What the API server would refuse; fails for a kind that there is no schema of."""
    validator = _validators()[document["apiVersion"], document["kind"]]
    return [f"{e.json_path}: {e.message[:200]}" for e in validator.iter_errors(document)]
