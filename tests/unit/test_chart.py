"""The chart renders to what Kubernetes, KEDA, Prometheus' operator and Prefect accept. No cluster is there.

Kubernetes' own kinds are checked against its published schemas, KEDA's and the Prometheus operator's against
models made from their CRDs. KubeRay publishes nothing of the kind for Python: its cluster is checked field by
field.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import tomllib
import uuid
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from jsonschema import Draft202012Validator

from maskloop.settings.workspace_settings import ServingSettings
from tests.fakes.chart import (
    CHART,
    NAMESPACE,
    PLACES,
    RELEASE,
    ROOT,
    Rendered,
    containers,
    job_template,
    load_values,
    pods,
    render,
    rendered,
)

OLDEST = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"].removeprefix(">=")[:4]
NEWEST = kubernetes_validate.latest_version()
MODELS: dict[str, Any] = {
    "ScaledObject": ScaledObject,
    "PrometheusRule": PrometheusRule,
    "ServiceMonitor": ServiceMonitor,
}
RAY_CLUSTER = {
    "rayVersion",
    "enableInTreeAutoscaling",
    "autoscalerOptions",
    "headGroupSpec",
    "workerGroupSpecs",
}
RAY_GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


@pytest.fixture(params=PLACES)
def found(request: pytest.FixtureRequest) -> Rendered:
    return rendered()[request.param]


def close(schema: Any) -> Any:
    """Refuse fields that a model does not name: a misspelt one would be ignored by nobody but us."""
    if isinstance(schema, dict):
        closed = {key: close(value) for key, value in schema.items()}
        if "properties" in schema and "additionalProperties" not in schema:
            closed["additionalProperties"] = False
        return closed
    return [close(one) for one in schema] if isinstance(schema, list) else schema


CLOSED = {kind: close(model.model_json_schema(by_alias=True)) for kind, model in MODELS.items()}


def complaints(one: dict[str, Any]) -> list[str]:
    if schema := CLOSED.get(one["kind"]):
        return [error.message for error in Draft202012Validator(schema).iter_errors(one)]
    said = []
    for version in (OLDEST, NEWEST):
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            said.append(f"{version}: {error.message}")
    return said


# --- what is rendered ------------------------------------------------------------------------------------


def test_every_values_file_renders_without_a_complaint_of_helm(found: Rendered) -> None:
    assert found.error == ""
    assert found.objects


def test_every_object_is_what_its_api_accepts(found: Rendered) -> None:
    wrong = {
        f"{one['kind']} {one['metadata']['name']}": said
        for one in found.objects
        if one["kind"] != "RayCluster" and (said := complaints(one))
    }
    assert wrong == {}


def test_a_misspelt_field_of_any_kind_is_noticed() -> None:
    for one in rendered()["gpu-cloud"].objects:
        if one["kind"] not in ("ConfigMap", "ServiceAccount", "Role", "RoleBinding", "RayCluster"):
            assert complaints({**one, "spec": {**one["spec"], "replikas": 2}}), one["kind"]


def test_pods_of_the_ray_cluster_are_pods_and_its_other_fields_are_those_of_kuberay() -> None:
    spec = rendered()["gpu-cloud"].one("RayCluster", f"{RELEASE}-ray")["spec"]
    groups = spec["workerGroupSpecs"]

    assert set(spec) == RAY_CLUSTER
    assert set(spec["headGroupSpec"]) == {"serviceType", "rayStartParams", "template"}
    assert all(set(group) == RAY_GROUP for group in groups)
    for group in (spec["headGroupSpec"], *groups):
        pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}
        assert complaints(pod) == []
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_two_objects_never_have_the_same_name(found: Rendered) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in found.objects]
    assert len(set(names)) == len(names)


def test_the_chart_has_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    images = yaml.safe_load((CHART / "values.yaml").read_text())["images"]

    assert chart["appVersion"] == project["version"]
    assert {images[role].rpartition(":")[2] for role in ("service", "worker", "trainer")} == {
        project["version"]
    }


# --- values that cannot be meant -------------------------------------------------------------------------

SHARED = {"claim": {"accessMode": "ReadWriteMany"}}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a number in words": (
        {"service": {"replicas": "two"}},
        "at '/service/replicas': got string, want integer",
    ),
    "a misspelt key": ({"sevice": {}}, "additional properties 'sevice' not allowed"),
    "a misspelt key below": ({"service": {"replica": 2}}, "additional properties 'replica' not allowed"),
    "a password where a name belongs": ({"mlflow": {"secret": "Hunter2!"}}, "at '/mlflow/secret'"),
    "an image that moves": (
        {"images": {"service": "maskloop:latest"}},
        "neither a complete version nor a digest",
    ),
    "a queue above the limit": ({"autoscaling": {"queueSeconds": 2}}, "at '/autoscaling/queueSeconds'"),
    "a queue that nobody measures": ({"autoscaling": {"mode": "queue"}}, "set autoscaling.prometheusUrl"),
    "fewer at most than at least": (
        {"autoscaling": {"mode": "cpu", "minReplicas": 7}},
        "autoscaling.minReplicas is above autoscaling.maxReplicas",
    ),
    "fewer of Ray's workers at most than at least": (
        {"ray": {"enabled": True, "workers": {"minReplicas": 7, "maxReplicas": 2}}},
        "ray.workers.minReplicas is above ray.workers.maxReplicas",
    ),
    "replicas with a database each": ({"service": {"replicas": 2}}, "several replicas share one database"),
    "a database without a user": ({"postgresql": {"host": "db"}}, "postgresql.host needs postgresql.secret"),
    "a certificate that nobody checks": (
        {"postgresql": {"host": "db", "secret": "s", "sslMode": "verify-full"}},
        "needs postgresql.caSecret",
    ),
    "nodes that cannot share a volume": (
        {"ray": {"enabled": True}, "workspace": {"claim": {"singleNode": False}}},
        "workspace.claim.accessMode ReadWriteMany",
    ),
    "prefect without its api": (
        {"prefect": {"enabled": True, "apiUrl": "http://prefect:4200"}, "workspace": SHARED},
        "prefect.enabled needs prefect.apiUrl",
    ),
    "metrics without a key": (
        {"monitoring": {"serviceMonitor": {"enabled": True}}},
        "needs monitoring.serviceMonitor.keySecret",
    ),
}


def test_values_that_cannot_be_meant_are_refused_by_name() -> None:
    answers = render([values for values, _ in WRONG.values()])
    said = {case: answer.error for case, answer in zip(WRONG, answers, strict=True)}

    assert [case for case, (_, words) in WRONG.items() if words not in said[case]] == []


def test_every_key_of_the_values_stands_in_their_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def unlisted(values: Any, node: Any, path: str) -> list[str]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        listed = node.get("properties")
        if not isinstance(values, dict) or listed is None:
            return []
        lost = [f"{path}{key}" for key in {*values} ^ ({*listed} - {"global"})]
        return lost + [
            one for key in {*values} & {*listed} for one in unlisted(values[key], listed[key], f"{key}.")
        ]

    assert unlisted(yaml.safe_load((CHART / "values.yaml").read_text()), schema, "") == []


# --- rules and dashboards --------------------------------------------------------------------------------


def test_rules_and_dashboards_are_those_of_the_folder_deploy() -> None:
    found = rendered()["default"]
    rules, boards = (found.one("ConfigMap", f"{RELEASE}-{name}")["data"] for name in ("rules", "dashboards"))
    deploy = ROOT / "deploy"

    assert set(rules) == {"alerts.yml", "recording.yml", "slo.yml"}
    for name, text in rules.items():
        assert yaml.safe_load(text) == yaml.safe_load((deploy / "prometheus" / name).read_text())
    assert set(boards) == {file.name for file in (deploy / "grafana/dashboards").iterdir()}
    for name, text in boards.items():
        assert json.loads(text) == json.loads((deploy / "grafana/dashboards" / name).read_text())


def test_prometheus_operator_gets_the_same_rules() -> None:
    for name in ("alerts", "recording", "slo"):
        spec = rendered()["team"].one("PrometheusRule", f"{RELEASE}-{name}")["spec"]
        assert spec == yaml.safe_load((ROOT / f"deploy/prometheus/{name}.yml").read_text())


def test_objectives_of_its_own_replace_the_default_ones() -> None:
    (found,) = render([{"monitoring": {"sloRules": "groups: []\n"}}])
    assert yaml.safe_load(found.one("ConfigMap", f"{RELEASE}-rules")["data"]["slo.yml"]) == {"groups": []}


def test_a_configmap_is_smaller_than_a_mebibyte(found: Rendered) -> None:
    assert all(len(json.dumps(one["data"])) < 2**20 for one in found.of("ConfigMap"))


def test_the_operator_scrapes_the_service_under_the_job_that_rules_name() -> None:
    found = rendered()["team"]
    monitor, service = found.one("ServiceMonitor")["spec"], found.one("Service")
    labels = service["metadata"]["labels"]

    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["jobLabel"]] == "maskloop"
    assert [one["port"] for one in monitor["endpoints"]] == [one["name"] for one in service["spec"]["ports"]]


# --- scaling ---------------------------------------------------------------------------------------------


def test_keda_asks_for_a_figure_of_the_service_and_scales_before_it_refuses() -> None:
    (trigger,) = rendered()["gpu-cloud"].one("ScaledObject")["spec"]["triggers"]
    asked = trigger["metadata"]
    source = (ROOT / "serving/telemetry/metrics.py").read_text()

    (metric,) = re.findall(r"maskloop_\w+(?=\{)", asked["query"])
    promql_parser.parse(asked["query"])
    assert f'"{metric.removeprefix("maskloop_")}"' in source
    assert f'namespace="{NAMESPACE}"' in asked["query"]
    assert float(asked["threshold"]) <= ServingSettings().max_queue_s / 4
    assert trigger["metricType"] == "AverageValue", "the sum over the replicas is divided by their number"


def test_without_gpus_keda_looks_at_the_processors_too() -> None:
    values = {"autoscaling": {"mode": "queue", "prometheusUrl": "http://prometheus:9090"}}
    postgresql = {"postgresql": {"host": "db", "secret": "db"}}
    (found,) = render([{**values, **postgresql}])
    kinds = [one["type"] for one in found.one("ScaledObject")["spec"]["triggers"]]
    assert kinds == ["prometheus", "cpu"]


def test_one_thing_alone_decides_on_the_number_of_replicas(found: Rendered) -> None:
    deciding = [*found.of("HorizontalPodAutoscaler"), *found.of("ScaledObject")]
    replicas = found.one("Deployment")["spec"].get("replicas")

    assert len(deciding) + (replicas is not None) == 1
    for one in deciding:
        assert one["spec"]["scaleTargetRef"]["name"] == RELEASE


def test_a_share_of_the_processors_is_of_something_that_was_asked_for(found: Rendered) -> None:
    for pod in pods(found).values():
        for container in containers(pod):
            asked, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert {"cpu", "memory"} <= set(asked)
            assert {"cpu", "memory"} <= set(limits)


# --- Prefect ---------------------------------------------------------------------------------------------


def made_job(values: dict[str, Any]) -> dict[str, Any]:
    """Let Prefect make the job of a flow run from the template."""
    from prefect.client.schemas import FlowRun
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    template = job_template(rendered()["gpu-cloud"])
    making = KubernetesWorkerJobConfiguration.from_template_and_values(template, values, client=object())
    configuration = asyncio.run(making)
    configuration.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), name="brave-nut", flow_id=uuid.uuid4()))
    manifest: dict[str, Any] = configuration.job_manifest
    return manifest


def test_prefect_makes_jobs_from_the_template_that_kubernetes_accepts() -> None:
    job = made_job({"gpus": 2, "memory_limit": "64Gi"})
    (flow,) = job["spec"]["template"]["spec"]["containers"]
    env = {one["name"]: one for one in flow["env"]}

    assert complaints({**job, "metadata": {**job["metadata"], "name": "brave-nut"}}) == []
    assert flow["resources"]["limits"] == {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": 2}
    assert flow["image"] == "maskloop-trainer:0.1.0"
    assert flow["args"][:2] == ["prefect", "flow-run"]
    assert env["PGPASSWORD"]["valueFrom"]["secretKeyRef"]["name"] == "maskloop-postgresql"
    assert job["metadata"]["namespace"] == NAMESPACE


def test_a_flow_joins_the_ray_cluster_before_its_command_runs() -> None:
    found = rendered()["gpu-cloud"]
    (flow,) = pods(found)["flow"]["spec"]["containers"]
    shell, option, script, name = flow["command"]
    head = f"{found.of('RayCluster')[0]['metadata']['name']}-head-svc:6379"  # as KubeRay names it
    without_ray = script.replace("ray start", ": ray start")
    ran = subprocess.run([shell, option, without_ray, name, "echo", "a b"], capture_output=True, text=True)

    assert f"--address={head} --num-cpus=0" in script
    assert ran.stdout == "a b\n"
    assert "command" not in pods(rendered()["team"])["flow"]["spec"]["containers"][0]


def test_every_variable_of_the_job_template_is_declared_and_used() -> None:
    template = job_template(rendered()["gpu-cloud"])
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])


def test_prefect_finds_the_workspace_where_the_loop_has_it() -> None:
    found = rendered()["team"]
    path = f"/workspaces/{load_values('team')['workspace'].get('name', 'parts')}"
    for component in ("loop", "service", "flow"):
        (main, *_) = pods(found)[component]["spec"]["containers"]
        assert {"name": "MASKLOOP_WORKSPACE", "value": path} in main["env"], component


def test_the_worker_has_the_rights_that_its_work_needs_and_no_others() -> None:
    rules = rendered()["team"].one("Role", f"{RELEASE}-prefect")["rules"]
    granted = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}

    assert {("jobs", "create"), ("jobs", "delete"), ("pods", "watch"), ("pods/log", "get")} <= granted
    assert not {resource for resource, _ in granted} - {"jobs", "pods", "pods/log"}
    assert ("pods", "create") not in granted
