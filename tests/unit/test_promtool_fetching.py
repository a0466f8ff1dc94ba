"""`.ci/promtool` takes promtool from Debian's package; a mirror that cannot be reached does not fail CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/promtool"
NEEDED = ("bash", "cat", "cp", "mkdir", "mktemp", "mv", "rm", "tar")
"""The programs of a bare machine that the script may use."""

APT = """#!/usr/bin/env bash
# Downloads fail until `update` was called as often as $NEEDED_UPDATES says.
echo "${@: -2}" >> "$LOG"
case "$*" in
  *update*) exit 0 ;;
  *download*) [ "$(grep -c update "$LOG")" -ge "$NEEDED_UPDATES" ] && cp "$PACKAGE" prometheus_2_amd64.deb ;;
esac
"""
DPKG_DEB = """#!/usr/bin/env bash
[ "$1" = --fsys-tarfile ] && cat "$2"
"""
PROMTOOL = """#!/usr/bin/env bash
echo "promtool, version 2"
"""


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

    def give_apt(self, *, contents: str = "promtool") -> None:
        """Install apt and dpkg; the package is the archive that dpkg would unpack."""
        self.put(self.programs, "apt-get", APT)
        self.put(self.programs, "dpkg-deb", DPKG_DEB)
        content = self.package.with_name("content")
        self.put(content / "usr/bin", contents, PROMTOOL)
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
def test_promtool_is_taken_from_the_package_within_three_attempts(
    machine: Machine, needed_updates: int, calls: list[str]
) -> None:
    machine.give_apt()
    done = machine.fetch(needed_updates=needed_updates)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "promtool, version 2\n"
    assert os.access(machine.tools / "promtool", os.X_OK)
    assert machine.calls() == calls
    assert list(machine.temporary.iterdir()) == []


def test_promtool_that_is_there_is_not_fetched_again(machine: Machine) -> None:
    machine.give_apt()
    machine.put(machine.tools, "promtool", PROMTOOL)
    assert machine.fetch().returncode == 0
    assert machine.calls() == []


def test_promtool_on_the_path_is_not_fetched(machine: Machine) -> None:
    machine.give_apt()
    machine.put(machine.programs, "promtool", PROMTOOL)
    assert machine.fetch().returncode == 0
    assert machine.calls() == []
    assert not machine.tools.exists()


def test_a_mirror_that_cannot_be_reached_is_reported_and_does_not_fail(machine: Machine) -> None:
    machine.give_apt()
    done = machine.fetch(needed_updates=9)
    assert done.returncode == 0
    assert "apt could not fetch Debian's package `prometheus`" in done.stderr
    assert "The test of the alert rules will be skipped." in done.stderr
    assert machine.calls().count("download prometheus") == 3
    assert not machine.tools.exists()
    assert list(machine.temporary.iterdir()) == []


def test_a_package_without_promtool_is_reported_and_does_not_fail(machine: Machine) -> None:
    machine.give_apt(contents="prometheus")
    done = machine.fetch()
    assert done.returncode == 0
    assert "has no promtool in it" in done.stderr
    assert not machine.tools.exists()


def test_a_machine_without_apt_is_told_that_promtool_is_missing(machine: Machine) -> None:
    done = machine.fetch()
    assert done.returncode == 0
    assert "no apt to fetch it with" in done.stderr
