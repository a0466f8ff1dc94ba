"""`.ci/promtool` takes the tools from Debian's packages; a mirror that cannot be reached does not fail CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/promtool"
NEEDED = ("bash", "cat", "cp", "mkdir", "mktemp", "mv", "rm", "sed", "tar")
"""The programs of a bare machine that the script may use."""

APT = """#!/usr/bin/env bash
# Downloads fail until `update` was called as often as $NEEDED_UPDATES says.
echo "${@: -2}" >> "$LOG"
case "$*" in
  *update*) exit 0 ;;
  *download*) [ "$(grep -c update "$LOG")" -ge "$NEEDED_UPDATES" ] && cp "$PACKAGE" "${@: -1}_2_amd64.deb" ;;
esac
"""
DPKG_DEB = """#!/usr/bin/env bash
[ "$1" = --fsys-tarfile ] && cat "$2"
"""
TOOL = """#!/usr/bin/env bash
# reads /usr/share/prometheus/alertmanager/default.tmpl
echo "${0##*/}, version 2"
"""
TOOLS = ("promtool", "prometheus", "amtool", "prometheus-alertmanager")


class Machine:
    """A folder of programs that is the whole PATH, with an apt that has one package."""

    def __init__(self, root: Path) -> None:
        self.programs = root / "bin"
        self.tools = root / "tools"
        self.log = root / "apt.log"
        self.package = root / "package"
        self.temporary = root / "tmp"
        for folder in (self.programs, self.temporary):
            folder.mkdir()
        for name in (*NEEDED, "grep"):
            (self.programs / name).symlink_to(shutil.which(name) or name)
        self.log.touch()

    def put(self, folder: Path, name: str, script: str) -> None:
        """Write an executable script."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)

    def give_apt(self, *, contents: tuple[str, ...] = TOOLS) -> None:
        """Install apt and dpkg; both packages are the archive that dpkg would unpack."""
        self.put(self.programs, "apt-get", APT)
        self.put(self.programs, "dpkg-deb", DPKG_DEB)
        content = self.package.with_name("content")
        for name in contents:
            self.put(content / "usr/bin", name, TOOL)
        template = content / "usr/share/prometheus/alertmanager/default.tmpl"
        template.parent.mkdir(parents=True)
        template.write_text("{{ define }}")
        subprocess.run(["tar", "-cf", self.package, "-C", content, "./usr"], check=True)

    def fetch(self, *, needed_updates: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        environment = {
            "PATH": str(self.programs),
            "TMPDIR": str(self.temporary),
            "LOG": str(self.log),
            "PACKAGE": str(self.package),
            "NEEDED_UPDATES": str(needed_updates),
        }
        return subprocess.run(
            [SCRIPT, self.tools], env=environment, capture_output=True, text=True, check=False
        )

    def calls(self) -> list[str]:
        """Return what apt was asked."""
        return [line.removeprefix("APT::Sandbox::User=root ") for line in self.log.read_text().splitlines()]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("needed_updates", "calls"),
    [
        (0, ["download prometheus"]),
        (1, ["download prometheus", "-qq update", "download prometheus"]),
        (2, ["download prometheus", *2 * ["-qq update", "download prometheus"]]),
    ],
)
def test_the_tools_are_taken_from_the_packages_within_three_attempts(
    machine: Machine, needed_updates: int, calls: list[str]
) -> None:
    machine.give_apt()
    done = machine.fetch(needed_updates=needed_updates)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "promtool, version 2\namtool, version 2\n"
    assert [name for name in TOOLS if not os.access(machine.tools / name, os.X_OK)] == []
    assert machine.calls() == [*calls, "download prometheus-alertmanager"]
    assert list(machine.temporary.iterdir()) == []


def test_alertmanager_finds_its_templates_beside_it(machine: Machine) -> None:
    machine.give_apt()
    machine.fetch()
    program = (machine.tools / "prometheus-alertmanager").read_text()
    (named,) = [word for word in program.split() if word.endswith("default.tmpl")]
    assert (machine.tools / named).read_text() == "{{ define }}"
    assert len(named) == len("/usr/share/prometheus/alertmanager/default.tmpl")


def test_tools_that_are_there_are_not_fetched_again(machine: Machine) -> None:
    machine.give_apt()
    for name in TOOLS:
        machine.put(machine.tools, name, TOOL)
    assert machine.fetch().returncode == 0
    assert machine.calls() == []


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_that_is_missing_has_its_package_fetched(machine: Machine, name: str) -> None:
    machine.give_apt()
    for one in TOOLS:
        if one != name:
            machine.put(machine.tools, one, TOOL)
    assert machine.fetch().returncode == 0
    assert machine.calls() == [f"download prometheus{'' if name in TOOLS[:2] else '-alertmanager'}"]
    assert os.access(machine.tools / name, os.X_OK)


def test_tools_on_the_path_are_not_fetched(machine: Machine) -> None:
    machine.give_apt()
    for name in TOOLS:
        machine.put(machine.programs, name, TOOL)
    assert machine.fetch().returncode == 0
    assert machine.calls() == []
    assert not machine.tools.exists()


def test_a_mirror_that_cannot_be_reached_is_reported_and_does_not_fail(machine: Machine) -> None:
    machine.give_apt()
    done = machine.fetch(needed_updates=9)
    assert done.returncode == 0
    assert "apt could not fetch Debian's package `prometheus`" in done.stderr
    assert "The tests of the alert rules will be skipped." in done.stderr
    assert machine.calls().count("download prometheus") == 3
    assert not machine.tools.exists()
    assert list(machine.temporary.iterdir()) == []


def test_a_package_without_the_tool_is_reported_and_does_not_fail(machine: Machine) -> None:
    machine.give_apt(contents=("prometheus",))
    done = machine.fetch()
    assert done.returncode == 0
    assert "has no promtool in it" in done.stderr
    assert not machine.tools.exists()


def test_a_machine_without_apt_is_told_what_is_missing(machine: Machine) -> None:
    done = machine.fetch()
    assert done.returncode == 0
    assert "no apt to fetch it with" in done.stderr
