"""The manifests fit KubeRay and Kubernetes, and keep what deploy/kuberay/README.md promises."""

import copy
import re

import manifests
import pytest
import yaml

OVERLAYS = sorted(path.name for path in (manifests.KUBERAY / "overlays").iterdir())
BASE = manifests.KUBERAY / "base"
needs_kubectl = pytest.mark.skipif(not manifests.has_kubectl(), reason="kubectl is not installed")

# What templates/raycluster-cluster.yaml of the chart asks for, of what could be of use here.
READ = {"additionalWorkerGroups", "common", "head", "image", "nameOverride", "service", "worker"}
READ_OF_GROUP = {
    *("containerEnv", "groupName", "image", "labels", "lifecycle", "maxReplicas", "minReplicas"),
    *("nodeSelector", "podSecurityContext", "ports", "rayStartParams", "replicas", "resources"),
    *("securityContext", "tolerations", "volumeMounts", "volumes"),
}
READ_OF_HEAD = {"autoscalerOptions", "enableInTreeAutoscaling", "rayVersion"}

SLEEP = re.compile(r"sleep (\d+)")


def written() -> list[manifests.Document]:
    """Every resource as it stands in a file, and the job."""
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [manifests.job(), *(d for name in names for d in manifests.documents(BASE / name))]


def test_every_resource_fits_the_schema_of_its_kind():
    for document in written():
        assert not manifests.errors(document), document["kind"]


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_built_and_fits(overlay: str):
    built = manifests.built(overlay)
    for document in built:
        assert not manifests.errors(document), document["kind"]
    clusters = [d for d in built if d["kind"] in ("RayJob", "RayCluster")]
    assert [d["kind"] for d in clusters] == ["RayJob" if "job" in overlay else "RayCluster"]
    _check_cluster(manifests.cluster_spec(clusters[0]))


@needs_kubectl
def test_components_change_the_groups_that_they_mean():
    (gke,) = (d for d in manifests.built("gke-job") if d["kind"] == "RayJob")
    groups = dict(manifests.pods(manifests.cluster_spec(gke)))
    assert groups["spot"]["nodeSelector"] == {"cloud.google.com/gke-spot": "true"}
    assert "cloud.google.com/gke-accelerator" in groups["gpu"]["nodeSelector"]
    for group in ("head", "cpu"):  # never on spot
        assert "gke-spot" in str(groups[group]["affinity"]["nodeAffinity"])
    (eks,) = (d for d in manifests.built("eks-job") if d["kind"] == "RayJob")
    groups = dict(manifests.pods(manifests.cluster_spec(eks)))
    assert groups["spot"]["nodeSelector"] == {"eks.amazonaws.com/capacityType": "SPOT"}
    assert groups["head"]["nodeSelector"] == {"eks.amazonaws.com/capacityType": "ON_DEMAND"}
    assert groups["spot"]["terminationGracePeriodSeconds"] == 90
    (small,) = (d for d in manifests.built("small-job") if d["kind"] == "RayJob")
    assert [name for name, _ in manifests.pods(manifests.cluster_spec(small))] == ["head", "cpu"]


@needs_kubectl
def test_an_overlay_names_the_registry_for_all_images():
    images = set(re.findall(r"image: (\S+)", yaml.dump(manifests.built("gke-job"))))
    assert {image.partition("/")[0] for image in images} == {"REGION-docker.pkg.dev"}
    assert {image.rpartition(":")[2] for image in images} == {"0.1.0", "0.1.0-cuda"}


@needs_kubectl
def test_the_tpu_group_fits_where_it_is_added(tmp_path):
    overlay = manifests.KUBERAY / "components" / "tpu" / "kustomization.yaml"
    assert overlay.read_text().startswith("# UNTESTED")
    patch = yaml.safe_load(yaml.safe_load(overlay.read_text())["patches"][0]["patch"])
    job = manifests.job()
    spec = copy.deepcopy(manifests.cluster_spec(job))
    spec["workerGroupSpecs"].append(patch[0]["value"])
    assert not manifests.errors(job | {"spec": job["spec"] | {"rayClusterSpec": spec}})
    _check_cluster(spec)


def test_the_check_sees_a_misspelt_field_and_a_wrong_type():
    for change in ({"idleTimoutSeconds": 1}, {"maxReplicas": "many"}):
        job = copy.deepcopy(manifests.job())
        manifests.cluster_spec(job)["workerGroupSpecs"][0].update(change)
        assert len(manifests.errors(job)) == 1


def test_the_cluster_keeps_its_promises():
    _check_cluster(manifests.cluster_spec(manifests.job()))


def _check_cluster(spec: manifests.Document):
    _check_what_the_operator_checks(spec)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    names = [group["groupName"] for group in spec["workerGroupSpecs"]]
    assert len(names) == len(set(names))
    for name, pod in manifests.pods(spec):
        _check_pod(name, pod)


def _check_what_the_operator_checks(spec: manifests.Document):
    """Of ray-operator/controllers/ray/utils/validation.go, what can go wrong here."""
    assert spec["rayVersion"]  # it is needed for tokens and priorities
    assert spec["autoscalerOptions"]["version"] == "v2"  # priorities are its own
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert "labels" not in group.get("rayStartParams", {})
        assert not group.get("resources")
        assert "restartPolicy" not in group["template"]["spec"]  # with autoscaler v2
    for group in spec["workerGroupSpecs"]:
        assert 0 <= group["minReplicas"] <= group["maxReplicas"]


def _check_pod(name: str, pod: manifests.Document):
    (container,) = pod["containers"]
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 1000)
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"], name
    assert float(resources["limits"].get("cpu", "inf")) >= float(resources["requests"]["cpu"])
    assert {"name": "metrics", "containerPort": 8080} in container["ports"]
    (volume,) = (m["name"] for m in container["volumeMounts"] if m["mountPath"] == "/dev/shm")
    (shared,) = (v["emptyDir"] for v in pod["volumes"] if v["name"] == volume)
    assert shared["medium"] == "Memory"
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    seconds = int(command[1] if name == "head" else SLEEP.findall(command[-1])[0])
    assert seconds + 10 <= pod["terminationGracePeriodSeconds"], "ray needs some time to end"
    # Ray would wait again at SIGTERM, for longer than a spot machine has.
    assert {"name": "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "value": "0"} in container["env"]
    if name != "head":
        assert pod["automountServiceAccountToken"] is False
        assert "drain-node" in command[-1]


def test_a_job_that_is_lost_is_started_again_and_ends_at_last():
    spec = manifests.job()["spec"]
    assert spec["backoffLimit"] > 0
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["shutdownAfterJobFinishes"] is True
    assert len(manifests.job()["metadata"]["name"]) <= 47


def test_what_stops_a_learner_waits_shorter_than_what_waits_for_it():
    head = dict(manifests.pods(manifests.cluster_spec(manifests.job())))["head"]
    (container,) = head["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    wait = int(environment["RAY_JOB_STOP_WAIT_TIME_S"])
    assert wait < head["terminationGracePeriodSeconds"]


def test_the_disruption_budget_is_one_that_kubernetes_counts_for_such_pods():
    """Pods of a custom resource without a scale: whole numbers, and no maxUnavailable."""
    (budget,) = manifests.documents(BASE / "disruption_budget.yaml")
    assert budget["spec"]["minAvailable"] == 1
    assert "maxUnavailable" not in budget["spec"]


def test_nobody_reaches_the_nodes_but_those_who_must():
    nodes, dashboard = manifests.documents(BASE / "network_policy.yaml")
    assert nodes["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for policy in (nodes, dashboard):
        for rule in policy["spec"]["ingress"]:
            assert rule["from"]
    everywhere = [rule for rule in nodes["spec"]["egress"] if "to" not in rule]
    assert {port["port"] for rule in everywhere for port in rule["ports"]} == {443, 6443}
    assert {port["port"] for rule in dashboard["spec"]["ingress"] for port in rule["ports"]} == {
        8265
    }


def test_the_values_are_those_that_the_chart_reads():
    values = yaml.safe_load((manifests.KUBERAY / "values.yaml").read_text())
    head, worker = values["head"], values["worker"]
    groups = [values["additionalWorkerGroups"]["gpu"], worker]
    assert values.keys() <= READ
    assert head.keys() <= READ_OF_GROUP | READ_OF_HEAD
    for group in groups:
        assert group.keys() <= READ_OF_GROUP
    names = {variable["name"] for variable in values["common"]["containerEnv"]}
    assert {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} <= names
    assert head["autoscalerOptions"]["env"] == values["common"]["containerEnv"]
    assert values["additionalWorkerGroups"]["smallGroup"] == {"disabled": True}
