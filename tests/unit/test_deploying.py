"""The page about deploying names commands, values, secrets and objects that exist; what can run is run."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from flows.command.main import cli, main
from flows.usage.serving import SERVE
from maskloop.database.address import read_url
from maskloop.settings.workspace_settings import parse_settings
from tests.fakes.chart import NAMESPACE, RELEASE, ROOT, containers, load_values, pods, rendered

PAGE = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S)
LINES = [
    line for kind, text in BLOCKS if kind == "sh" for line in text.replace("\\\n", " ").splitlines() if line
]
OF_MASKLOOP = [
    line.partition("maskloop ")[2].partition(" > ")[0]
    for line in LINES
    if re.search(r"(^|-- |maskloop_owner )maskloop ", line)
]


def words_of(line: str) -> list[str]:
    return shlex.split(line, comments=True)


@pytest.mark.parametrize("line", OF_MASKLOOP)
def test_every_command_of_maskloop_has_these_options(line: str) -> None:
    group: Any = cli
    words = words_of(line)
    while hasattr(group, "get_command"):
        name, *words = words
        group = group.get_command(click.Context(group), name)
        assert group is not None, name
    group.make_context(group.name, words)


def test_the_first_commands_make_a_workspace_with_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = ("maskloop init /srv/parts", "maskloop keys add first-client --scope predict --scope feedback")
    lines = [next(line for line in LINES if line.startswith(start)) for start in wanted]

    for line in lines:
        arguments = words_of(line.replace("/srv/parts", str(tmp_path / "parts")))[1:]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0, line
    assert capsys.readouterr().out.splitlines()[-1].startswith("mlk_")


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "toml"])
def test_settings_on_the_page_are_settings(text: str) -> None:
    settings = parse_settings(tomllib.loads(text))
    assert read_url(settings.servers.database_url).database == "parts"


def test_images_are_built_from_targets_that_exist_under_the_names_of_the_chart() -> None:
    built = {words[words.index("-t") + 1]: words[words.index("--target") + 1] for words in commands("docker")}
    containerfile = (ROOT / "deploy/Containerfile").read_text()
    images = load_images()

    assert built == {images[role]: role for role in ("service", "worker", "trainer")}
    assert all(f" AS {role}\n" in containerfile for role in built.values())


def load_images() -> dict[str, str]:
    text = (ROOT / "deploy/chart/values.yaml").read_text()
    return dict(re.findall(r"^  (service|worker|trainer): (\S+)$", text, re.M))


def commands(program: str) -> list[list[str]]:
    return [words for line in LINES if (words := words_of(line)) and words[0] == program]


def test_helm_is_given_files_that_exist() -> None:
    asked = commands("helm")
    named = {words[words.index("-f") + 1] for words in asked}

    assert all((ROOT / file).is_file() for file in named)
    assert all((ROOT / words[3] / "Chart.yaml").is_file() for words in asked)
    assert {words[2] for words in asked} == {RELEASE}


def test_commands_are_typed_in_a_deployment_that_exists() -> None:
    deployments = {one["metadata"]["name"] for one in rendered()["laptop"].of("Deployment")}
    typed_in = {word for words in commands("kubectl") for word in words if word.startswith("deploy/")}

    assert typed_in == {f"deploy/{RELEASE}-loop"}
    assert {name.partition("/")[2] for name in typed_in} <= deployments
    assert all(words[2] == NAMESPACE for words in commands("kubectl") if words[1] == "-n")


def test_every_secret_that_a_team_needs_is_made_with_its_keys() -> None:
    made = {}
    for words in commands("kubectl"):
        if "secret" in words:
            pairs = [word.partition("=")[2].partition("=")[0] for word in words if word.startswith("--from-")]
            made[words[words.index("generic") + 1]] = set(pairs)
    used: dict[str, set[str]] = {}
    for pod in pods(rendered()["team"]).values():
        for container in containers(pod):
            for one in container.get("env", ()):
                if secret := one.get("valueFrom", {}).get("secretKeyRef"):
                    used.setdefault(secret["name"], set()).add(secret["key"])
    used[load_values("team")["monitoring"]["serviceMonitor"]["keySecret"]] = {"key"}

    assert made == used


def test_objects_on_the_page_are_made() -> None:
    named = set(
        re.findall(r"`(parts[a-z-]*)`", PAGE.partition("### What runs")[2].partition("### Updates")[0])
    )
    there = {one["metadata"]["name"] for found in rendered().values() for one in found.objects}
    assert named <= there
    assert len(named) == 7


def test_a_managed_image_is_the_service_with_a_workspace_and_a_command_that_exists() -> None:
    (text,) = (text for kind, text in BLOCKS if kind == "dockerfile")
    said = dict(line.split(" ", 1) for line in text.splitlines())
    variable, _, value = said["ENV"].partition("=")

    assert said["FROM"] == load_images()["service"]
    assert (said["ENTRYPOINT"], said["CMD"]) == ('["maskloop"]', '["serve"]')
    (platform,) = (one for one in SERVE.params if one.envvar == variable)
    assert platform.type_cast_value(click.Context(SERVE), value) == value
