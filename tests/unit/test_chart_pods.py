"""Pods of the chart find each other and what they need, write where they may, and stop when asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click
import pytest

from flows.command.main import SECTIONS
from flows.workspace.servers import WORK_POOL
from maskloop.settings.workspace_settings import ServingSettings
from tests.fakes.chart import PLACES, RELEASE, ROOT, Rendered, containers, load_values, pods, rendered
from tests.fakes.service_world import ServiceWorld

SERVICE_NEVER_SEES = ("PREFECT_", "RAY_")
SECRETS_OF = {
    "mlflow": ("secret",),
    "postgresql": ("secret", "caSecret"),
    "objectStore": ("secret",),
    "prefect": ("authSecret",),
}
OF_LIBPQ = {"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGSSLMODE", "PGSSLROOTCERT"}
OF_BOTO = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"}
WRITTEN_TO = {"/workspaces", "/tmp", "/dev/shm"}
"""What `maskloop serve`, `reconcile`, `monitor`, `init` and `data` need: see docs/deploying.md."""


@pytest.fixture(params=PLACES)
def found(request: pytest.FixtureRequest) -> Rendered:
    return rendered()[request.param]


def every_container(found: Rendered) -> Iterator[tuple[str, dict[str, Any]]]:
    for component, pod in pods(found).items():
        for container in containers(pod):
            yield f"{component}/{container['name']}", container


def selects(labels: dict[str, str], selector: dict[str, Any]) -> bool:
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", ())
    return wanted.items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in expressions if one["operator"] == "In"
    )


def labels_of(found: Rendered) -> dict[str, dict[str, str]]:
    return {component: pod["metadata"]["labels"] for component, pod in pods(found).items()}


# --- who is meant ----------------------------------------------------------------------------------------


def test_a_deployment_selects_its_own_pods_and_no_others(found: Rendered) -> None:
    for one in found.of("Deployment"):
        own = one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        chosen = {
            name for name, labels in labels_of(found).items() if selects(labels, one["spec"]["selector"])
        }
        assert chosen == {own}


def test_requests_and_disruption_budgets_are_about_the_service_alone(found: Rendered) -> None:
    selectors = [
        {"matchLabels": found.one("Service")["spec"]["selector"]},
        found.one("PodDisruptionBudget")["spec"]["selector"],
        found.one("NetworkPolicy", f"{RELEASE}-service")["spec"]["podSelector"],
    ]
    for selector in selectors:
        assert {name for name, labels in labels_of(found).items() if selects(labels, selector)} == {"service"}


def test_every_pod_is_closed_to_the_network_unless_a_policy_lets_somebody_in(found: Rendered) -> None:
    policy = found.one("NetworkPolicy")["spec"]

    assert all(selects(labels, policy["podSelector"]) for labels in labels_of(found).values())
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy


def test_ray_which_has_no_login_is_asked_by_neither_strangers_nor_the_service() -> None:
    found = rendered()["gpu-cloud"]
    policy = found.one("NetworkPolicy", f"{RELEASE}-ray")["spec"]
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    inside = {name for name, labels in labels_of(found).items() if selects(labels, policy["podSelector"])}
    let_in = {name for name, labels in labels_of(found).items() if selects(labels, peer["podSelector"])}

    assert inside == {"flow", "ray-head", "ray-worker"}, "a flow joins the cluster as a node"
    assert let_in == {"loop", "flow", "ray-head", "ray-worker"}


def test_everybody_may_ask_the_servers_that_values_name() -> None:
    for place in ("team", "gpu-cloud"):
        values = load_values(place)
        urls = [values["mlflow"]["url"], values["prefect"]["apiUrl"]]
        named = {int(port) for url in urls for port in re.findall(r":(\d+)", url)}
        ports = {
            port["port"]
            for rule in rendered()[place].one("NetworkPolicy")["spec"]["egress"]
            for port in rule.get("ports", ())
        }
        assert named | {53, 443, 5432} <= ports


# --- what they run ---------------------------------------------------------------------------------------


def command_named(words: list[str]) -> tuple[click.Command, list[str]]:
    commands = {one.name: one for section in SECTIONS.values() for one in section}
    return commands[words[0]], words[1:]


def test_every_command_is_one_of_the_command_line(found: Rendered) -> None:
    asked = [one["args"][1:] for _, one in every_container(found) if one.get("args", [""])[0] == "maskloop"]

    assert asked
    for words in asked:
        command, arguments = command_named(words)
        command.make_context(words[0], list(arguments))


def test_an_empty_workspace_is_initialised_with_options_that_exist(found: Rendered) -> None:
    (first,) = pods(found)["loop"]["spec"]["initContainers"]
    (script,) = first["args"]
    words = script.partition("maskloop init ")[2].replace('"$MASKLOOP_WORKSPACE"', "parts").split()
    command, arguments = command_named(["init", *words])

    command.make_context("init", arguments)
    assert script.startswith('test -f "$MASKLOOP_WORKSPACE/maskloop.toml" ||')


def test_the_pool_has_the_name_that_deployments_of_a_workspace_name() -> None:
    for one in pods(rendered()["team"])["prefect-worker"]["spec"]["initContainers"]:
        assert one["args"][:4] == ["prefect", "work-pool", "create", WORK_POOL]


def test_every_variable_is_read_by_something(found: Rendered) -> None:
    from prefect.settings import get_current_settings
    from prefect_kubernetes.settings import KubernetesSettings

    documented = set(re.findall(r"`([A-Z][A-Z_]+)`", (ROOT / "docs/settings.md").read_text()))
    of_prefect = set(get_current_settings().to_environment_variables(include_secrets=True)) | {
        f"PREFECT_INTEGRATIONS_KUBERNETES_{group.upper()}_{name.upper()}"
        for group in ("worker", "observer")
        for name in type(getattr(KubernetesSettings(), group)).model_fields
    }
    known = documented | OF_LIBPQ | OF_BOTO | of_prefect | {"PREFECT_API_AUTH_STRING"}
    named = {one["name"] for _, container in every_container(found) for one in container.get("env", ())}

    assert named - known == set()


def test_the_service_gets_nothing_of_prefect_and_ray() -> None:
    (service,) = pods(rendered()["gpu-cloud"])["service"]["spec"]["containers"]
    assert [one["name"] for one in service["env"] if one["name"].startswith(SERVICE_NEVER_SEES)] == []


def test_cards_are_asked_for_where_values_say_so() -> None:
    found, values = rendered()["gpu-cloud"], load_values("gpu-cloud")
    with_cards = {
        name.partition("/")[0]: container["resources"]["limits"]["nvidia.com/gpu"]
        for name, container in every_container(found)
        if "nvidia.com/gpu" in container["resources"]["limits"]
    }

    assert with_cards.keys() == {"service", "flow", "ray-worker"}
    assert with_cards["service"] == values["service"]["gpus"]
    assert with_cards["ray-worker"] == values["ray"]["workers"]["gpus"]


# --- probes, stops and drains ----------------------------------------------------------------------------


def test_probes_ask_ports_that_are_there(found: Rendered) -> None:
    for name, container in every_container(found):
        ports = {one["name"] for one in container.get("ports", ())}
        asked = [value for key, value in container.items() if key.endswith("Probe") and "httpGet" in value]
        assert {probe["httpGet"]["port"] for probe in asked} <= ports, name


def test_probes_of_the_service_ask_routes_that_need_no_key(tmp_path: Any) -> None:
    (service,) = pods(rendered()["default"])["service"]["spec"]["containers"]
    paths = {key: probe["httpGet"]["path"] for key, probe in service.items() if key.endswith("Probe")}
    routes = ServiceWorld(tmp_path).make_app().openapi()["paths"]

    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for path in set(paths.values()):
        assert "security" not in routes[path]["get"], path
    assert service["args"][-1] == str(service["ports"][0]["containerPort"])


def test_a_start_may_take_ten_times_as_long_as_it_took_when_it_was_measured(found: Rendered) -> None:
    (service,) = pods(found)["service"]["spec"]["containers"]
    probe = service["startupProbe"]
    measured_s = 12  # docs/results.md, "Serving": two workers, with torch

    assert probe["periodSeconds"] * probe["failureThreshold"] >= max(10 * measured_s, 60)


def test_a_stopping_pod_may_finish_what_it_has_accepted(found: Rendered) -> None:
    pod = pods(found)["service"]["spec"]
    (service,) = pod["containers"]
    (_, before_s) = service["lifecycle"]["preStop"]["exec"]["command"]
    serving = ServingSettings()

    assert pod["terminationGracePeriodSeconds"] >= int(before_s) + serving.stop_notice_s + 2 * serving.drain_s


def test_a_drain_of_a_node_is_never_held_up_for_ever(found: Rendered) -> None:
    budget = found.one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget, "with one replica it would allow no eviction at all"


def test_an_update_keeps_the_capacity_unless_no_card_is_free(found: Rendered) -> None:
    rolling = found.one("Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


def test_what_must_be_alone_is_never_there_twice_during_an_update(found: Rendered) -> None:
    alone = [one for one in found.of("Deployment") if one["metadata"]["name"] != RELEASE]
    assert all(one["spec"]["replicas"] == 1 for one in alone)
    assert all(one["spec"]["strategy"] == {"type": "Recreate"} for one in alone)


# --- rights and secrets ----------------------------------------------------------------------------------


def test_no_container_has_rights(found: Rendered) -> None:
    for name, container in every_container(found):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
    for component, pod in pods(found).items():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"], component
        assert security["runAsUser"] == security["fsGroup"] == 10001, component
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, component


def test_pods_speak_to_kubernetes_only_where_that_is_their_work(found: Rendered) -> None:
    speaking = {name for name, pod in pods(found).items() if pod["spec"]["automountServiceAccountToken"]}
    assert speaking <= {"prefect-worker", "ray-head"}


def test_everything_that_is_written_to_is_a_volume(found: Rendered) -> None:
    for component, pod in pods(found).items():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            needed = WRITTEN_TO if component != "prefect-worker" else {"/tmp"}
            assert needed <= set(mounts), f"{component}/{container['name']}"
            assert set(mounts.values()) <= volumes, f"{component}/{container['name']}"


def test_every_pod_uses_the_claim_that_is_made_or_named(found: Rendered) -> None:
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods(found).values()
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == {found.one("PersistentVolumeClaim", f"{RELEASE}-workspace")["metadata"]["name"]}


def test_a_claim_outlives_the_release(found: Rendered) -> None:
    claim = found.one("PersistentVolumeClaim", f"{RELEASE}-workspace")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_secrets_are_named_by_the_values_and_never_made() -> None:
    for place in PLACES:
        found, values = rendered()[place], load_values(place)
        named = {values.get(group, {}).get(key, "") for group, keys in SECRETS_OF.items() for key in keys}
        used = {
            one["valueFrom"]["secretKeyRef"]["name"]
            for _, container in every_container(found)
            for one in container.get("env", ())
            if "valueFrom" in one
        }
        assert used == named - {""}, place
        assert found.of("Secret") == []
