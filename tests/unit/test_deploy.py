"""Container and compose files name only what exists, and say what the settings say. Nothing is started."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from maskloop.settings.workspace_settings import ServingSettings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
TEMPLATES = DEPLOY / "chart/templates"  # YAML once Helm has rendered them: tests/unit/test_chart.py
YAML_FILES = sorted(
    file for kind in ("*.yaml", "*.yml") for file in DEPLOY.rglob(kind) if TEMPLATES not in file.parents
)
YAML_STYLE = """
extends: default
rules: {line-length: {max: 120}, document-start: disable}
"""
PINNED = re.compile(r"^[a-z./-]+:v?\d+\.\d+\.\d+(-[a-z-]+)?$")
"""A name and a complete version: neither `latest`, nor a tag that moves from week to week."""


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


# --- the container ---------------------------------------------------------------------------------------


STAGES = {
    head.partition(" AS ")[2] or head: f"{head}\n{rest}"
    for head, _, rest in (part.partition("\n") for part in re.split(r"^FROM ", CONTAINERFILE, flags=re.M)[1:])
}
"""The text of each stage, by its name."""
ROLES = ("service", "worker", "trainer")


def instructions(name: str, text: str = CONTAINERFILE) -> list[str]:
    """Return the arguments of every instruction of one kind, in order."""
    lines = re.sub(r"\\\n|^\s*#.*$", "", text, flags=re.MULTILINE).splitlines()
    return [line.removeprefix(name).strip() for line in lines if line.startswith(f"{name} ")]


def copied() -> list[str]:
    words = [line.split() for line in instructions("COPY") if not line.startswith("--from")]
    return [source for *sources, _target in words for source in sources]


def test_everything_that_is_copied_exists_and_is_not_ignored() -> None:
    rules = (DEPLOY / "Containerfile.dockerignore").read_text().split("\n")
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}

    assert rules[1] == "*"
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    assert set(copied()) == let_in


def test_every_package_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["importlinter"]["root_packages"]) <= set(copied())


def test_images_are_pinned_to_complete_versions() -> None:
    from_images = [line.split()[0] for line in instructions("FROM")]
    outside = [image for image in from_images if image not in STAGES]
    composed = [service["image"] for service in load(DEPLOY / "compose.yaml")["services"].values()]

    assert [image for image in outside + composed if not PINNED.match(image)] == []
    assert len(set(outside)) == 1


def test_each_role_builds_on_the_one_before_and_adds_to_it() -> None:
    names = [line.partition(" AS ") for line in instructions("FROM")]
    assert {role: base for base, _, role in names if role in ROLES[1:]} == {
        "worker": "service",
        "trainer": "worker",
    }
    assert list(STAGES) == ["build", *ROLES]


def test_what_is_installed_is_checked_against_hashes() -> None:
    installs = [part for line in instructions("RUN") for part in line.split("&&") if "pip install" in part]
    unchecked = [part for part in installs if "--require-hashes" not in part]

    assert len(installs) == 5
    assert len(unchecked) == 1
    assert "--no-deps" in unchecked[0], "only our own folder has no hash"
    assert "--hash=sha256:" in (DEPLOY / "installer.lock").read_text()


def extras_of(role: str) -> set[str]:
    text = STAGES["build" if role == "service" else role]
    return set(re.findall(r"--extra (\w+)", text))


def test_a_role_has_the_extras_of_the_one_before_or_it_would_lose_their_pins() -> None:
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])

    assert extras_of("service") < extras_of("worker") < extras_of("trainer") <= known
    assert {"kubernetes", "cluster"} & extras_of("service") == set()


def test_what_each_role_installs_is_in_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.M))
    wanted = [*project["dependencies"]]
    for extra in extras_of("trainer"):
        wanted += project["optional-dependencies"][extra]
    names = {re.split(r"[\[<>=!; ]", line)[0].lower() for line in wanted}

    assert names - pinned == set()


def test_packages_of_debian_come_from_one_day() -> None:
    (run,) = (line for line in instructions("RUN") if "apt-get" in line)
    (day,) = (line for line in instructions("ARG") if line.startswith("DEBIAN_OF="))

    assert re.fullmatch(r"DEBIAN_OF=20\d{6}T\d{6}Z", day)
    assert "snapshot.debian.org" in run
    assert "rm -f /etc/apt/sources.list.d/debian.sources" in run, "nothing else is asked"
    assert "--no-install-recommends" in run


def test_the_service_has_nothing_that_builds_or_installs() -> None:
    assert not re.search(r"apt-get|gcc|pip install|uv ", STAGES["service"])


@pytest.mark.parametrize("role", ROLES)
def test_a_role_runs_as_nobody_special(role: str) -> None:
    assert instructions("USER", STAGES[role])[-1] == "10001:10001"


def test_the_service_stops_and_is_watched_as_it_should() -> None:
    service = STAGES["service"]
    port = str(ServingSettings().port)

    assert instructions("STOPSIGNAL", service) == ["SIGTERM"]
    assert "/healthz" in instructions("HEALTHCHECK", service)[0]
    assert instructions("EXPOSE", service) == [port]
    command = json.loads(instructions("CMD", service)[-1])
    assert command == ["maskloop", "serve", "--host", "0.0.0.0", "--port", port]


def test_roles_without_an_endpoint_inherit_no_health_check() -> None:
    assert instructions("HEALTHCHECK", STAGES["worker"]) == ["NONE"]


def test_a_pattern_of_the_ignore_file_never_hides_what_is_copied() -> None:
    rules = (DEPLOY / "Containerfile.dockerignore").read_text().split("\n")
    hiding = [rule for rule in rules[2:] if rule and not rule.startswith(("!", "#"))]
    assert [name for name in copied() for rule in hiding if fnmatch(name, rule)] == []


# --- compose ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = load(DEPLOY / "compose.yaml")["services"]
    return found


@pytest.mark.parametrize("file", YAML_FILES, ids=lambda file: str(file.relative_to(DEPLOY)))
def test_yaml_is_tidy(file: Path) -> None:
    problems = linter.run(file.read_text(encoding="utf-8"), YamlLintConfig(YAML_STYLE), str(file))
    assert [str(problem) for problem in problems] == []


def test_nothing_is_reachable_from_outside_unless_somebody_says_so(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service["ports"]]
    assert all(re.match(r"127\.0\.0\.1:|\$\{MASKLOOP_BIND:-127\.0\.0\.1\}:", port) for port in published)


def test_every_container_has_limits_and_no_powers(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name


def test_a_stopping_service_has_time_to_drain(services: dict[str, Any]) -> None:
    grace_s = int(services["service"]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= 2 * ServingSettings().drain_s


def test_the_service_keeps_a_hostname_of_its_own_for_its_leases(services: dict[str, Any]) -> None:
    assert not {"hostname", "network_mode", "pid"} & set(services["service"])


def test_what_is_mounted_exists(services: dict[str, Any]) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", ())]
    folders = [mount.partition(":")[0] for mount in mounts if mount.startswith("./")]

    assert len(folders) == 4
    assert [folder for folder in folders if not (DEPLOY / folder).is_dir()] == []


def test_git_never_takes_secrets_or_what_belongs_to_one_machine() -> None:
    secrets = [secret["file"] for secret in load(DEPLOY / "compose.yaml")["secrets"].values()]
    for file in [*secrets, ".env"]:
        ignored = subprocess.run(["git", "-C", DEPLOY, "check-ignore", "-q", file], check=False)
        assert ignored.returncode == 0, file


def test_prometheus_presents_the_key_that_compose_hands_it(services: dict[str, Any]) -> None:
    (job,) = load(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]
    (secret,) = services["prometheus"]["secrets"]

    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert job["static_configs"] == [{"targets": [f"service:{ServingSettings().port}"]}]
