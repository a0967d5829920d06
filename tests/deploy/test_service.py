"""The service on Kubernetes: one, closed, and started by a command line that it understands."""

import re
import tomllib
from pathlib import Path

import command_lines
import manifests
import yaml

from metaopt.client.models import State
from workers.commands.serve import Serve
from workers.service import recipes, security

FOLDER = manifests.KUBERAY / "service"
MONITORING = manifests.ROOT / "deploy" / "monitoring"


def one(file: str) -> manifests.Document:
    (document,) = manifests.documents(FOLDER / file)
    return document


def pod() -> manifests.Document:
    return one("deployment.yaml")["spec"]["template"]["spec"]


def container() -> manifests.Document:
    (found,) = pod()["containers"]
    return found


def served() -> Serve:
    return command_lines.understood(container()["command"])


def test_every_resource_fits_the_schema_of_its_kind():
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in FOLDER.iterdir()} == {"kustomization.yaml", *names}
    for name in names:
        for document in manifests.documents(FOLDER / name):
            assert not manifests.errors(document), name


def test_there_are_never_two():
    spec = one("deployment.yaml")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_it_may_do_little():
    assert pod()["automountServiceAccountToken"] is False
    assert (pod()["securityContext"]["runAsNonRoot"], pod()["securityContext"]["runAsUser"]) == (
        True,
        1000,
    )
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    resources = container()["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]


def test_what_it_writes_is_on_a_volume():
    mounts = {mount["mountPath"]: mount for mount in container()["volumeMounts"]}
    writable = [path for path, mount in mounts.items() if not mount.get("readOnly")]
    assert any(str(served().index).startswith(f"{path}/") for path in writable)
    assert {served().runs, "/tmp"} <= set(writable)
    assert str(served().token_file.parent) in mounts
    volumes = {volume["name"] for volume in pod()["volumes"]}
    assert volumes == {mount["name"] for mount in mounts.values()}
    (runs,) = manifests.documents(manifests.KUBERAY / "base" / "run_folders.yaml")
    assert f"claimName: {runs['metadata']['name']}" in (FOLDER / "deployment.yaml").read_text()


def test_the_command_line_has_a_token_and_the_cluster_of_the_base():
    assert served().token_file is not None
    (cluster,) = manifests.documents(manifests.KUBERAY / "base" / "ray_cluster.yaml")
    name = cluster["metadata"]["name"]
    assert served().launcher == "ray"
    assert served().ray_address == f"http://{name}-head-svc:8265"
    secrets = {
        v["name"]: v["valueFrom"]["secretKeyRef"]["name"]
        for v in container()["env"]
        if "secretKeyRef" in v.get("valueFrom", {})
    }
    assert secrets == {"RAY_AUTH_TOKEN": name}


def test_it_answers_probes_and_goes_by_its_names():
    (port,) = container()["ports"]
    assert port["containerPort"] == served().port
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        get = container()[probe]["httpGet"]
        assert get["port"] == port["name"]
        assert get["httpHeaders"] == [{"name": "Host", "value": "localhost"}]
        assert get["path"] in security.WITHOUT_TOKEN
    assert container()["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert {one("service.yaml")["metadata"]["name"], "$(POD_IP)"} <= set(served().allow_host)
    (open_port,) = one("service.yaml")["spec"]["ports"]
    assert (open_port["port"], open_port["targetPort"]) == (served().port, port["name"])


def test_it_reaches_the_dashboard_and_prometheus_reaches_it():
    service, dashboard = manifests.documents(FOLDER / "network_policy.yaml")
    labels = one("deployment.yaml")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["podSelector"]["matchLabels"] == labels
    assert service["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert {p["port"] for rule in service["spec"]["ingress"] for p in rule["ports"]} == {8700}
    assert {p["port"] for rule in service["spec"]["egress"] for p in rule["ports"]} == {8265, 53}
    assert all(rule["to"] for rule in service["spec"]["egress"])
    ((rule,),) = (dashboard["spec"]["ingress"],)
    assert rule["from"] == [{"podSelector": {"matchLabels": labels}}]
    (monitor,) = manifests.documents(MONITORING / "service_monitor.yaml")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] == one("service.yaml")["spec"]["ports"][0]["name"]
    assert endpoint["path"] not in security.WITHOUT_TOKEN
    assert endpoint["authorization"]["credentials"]["name"] == "metaopt-service"


def test_rules_of_the_service_ask_for_what_it_exports():
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    (rules,) = (group["rules"] for group in groups if group["name"] == "metaopt-service")
    made = (Path(security.__file__).with_name("observed.py")).read_text()
    for rule in rules:
        assert {"summary", "description"} == rule["annotations"].keys()
        assert rule["labels"]["severity"] in ("warning", "critical")
        names = re.findall(r"\bmetaopt_service_\w+", rule["expr"])
        assert names or "up{" in rule["expr"]
        assert all(f'"{name.removesuffix("_total")}"' in made for name in names)
        for state in re.findall(r'state="(\w+)"', rule["expr"]):
            assert state in set(State)


def test_the_image_has_the_extra_and_the_recipes():
    project = tomllib.loads((manifests.ROOT / "pyproject.toml").read_text())
    assert "service" in (manifests.ROOT / "deploy/docker/dependencies.py").read_text()
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    there = {f"recipes/{path.name}" for path in (manifests.ROOT / "recipes").glob("*.toml")}
    assert set(included) == there
    inside = f"workers/service/{recipes.PACKAGED.name}"
    assert {Path(target).parent.as_posix() for target in included.values()} == {inside}
    assert "\nCOPY recipes recipes\n" in (manifests.ROOT / "deploy/docker/Dockerfile").read_text()
