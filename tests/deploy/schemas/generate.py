"""Makes the schemas of this folder from what the projects publish; needs no network.

    python generate.py kuberay KUBERAY_CHECKOUT    # ray-operator/config/crd/bases of v1.7.0
    python generate.py kubernetes FOLDER           # v1.37.0-local-strict of kubernetes-validate

A schema here is what the API server holds a manifest against, as plain JSON schema: an unknown
field is an error, a field with a default may be left out, and descriptions are gone. See NOTICE.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CUSTOM = ("rayclusters", "rayjobs")
CORE = (
    "deployment-apps-v1",
    "networkpolicy-networking-v1",
    "persistentvolumeclaim-v1",
    "poddisruptionbudget-policy-v1",
    "service-v1",
)
KEPT = ("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems")


def main(source: str, path: str) -> None:
    found = {"kuberay": custom_kinds, "kubernetes": core_kinds}[source](Path(path))
    for kind, entry in found.items():
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        (HERE / f"{kind}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def custom_kinds(checkout: Path) -> dict[str, Any]:
    found = {}
    for plural in CUSTOM:
        file = checkout / "ray-operator" / "config" / "crd" / "bases" / f"ray.io_{plural}.yaml"
        spec = yaml.load(file.read_text(), yaml.CSafeLoader)["spec"]
        (version,) = (v for v in spec["versions"] if v["name"] == "v1")
        kind = spec["names"]["kind"]
        schema = strict(version["schema"]["openAPIV3Schema"])
        found[kind] = {"apiVersion": "ray.io/v1", "kind": kind, "schema": schema}
    return found


def strict(node: dict[str, Any]) -> dict[str, Any]:
    """A structural schema of a custom resource, as JSON schema that refuses unknown fields."""
    made = {key: node[key] for key in KEPT if key in node}
    if node.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if "items" in node:
        made["items"] = strict(node["items"])
    if isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(node["additionalProperties"])
    if "properties" in node:
        made["properties"] = {name: strict(inner) for name, inner in node["properties"].items()}
        made["additionalProperties"] = bool(node.get("x-kubernetes-preserve-unknown-fields"))
        defaulted = {name for name, inner in node["properties"].items() if "default" in inner}
        required = sorted(set(node.get("required", ())) - defaulted)
        made |= {"required": required} if required else {}
    return made


def core_kinds(folder: Path) -> dict[str, Any]:
    definitions = json.loads((folder / "_definitions.json").read_text())["$defs"]

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inline(definitions[node["$ref"].rpartition("/")[2]])
        kept = {k: v for k, v in node.items() if not (k == "description" and isinstance(v, str))}
        return {key: inline(value) for key, value in kept.items() if not key.startswith("x-")}

    found = {}
    for name in CORE:
        schema = inline(json.loads((folder / f"{name}.json").read_text()))
        kind, version = (schema["properties"][key]["enum"][0] for key in ("kind", "apiVersion"))
        schema["properties"].pop("status", None)
        found[kind] = {"apiVersion": version, "kind": kind, "schema": schema}
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
