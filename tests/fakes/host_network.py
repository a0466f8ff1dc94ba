"""Hosts with addresses of their own in Linux' network namespaces; one can be cut off, healed and killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

NETWORK = "10.77.0"
HERE = f"{NETWORK}.1"


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def join_network() -> None:
    """Give the present namespace, a new one, the first address of the network."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "addr", "add", f"{HERE}/24", "dev", "br0")
    run("ip", "link", "set", "br0", "up")


class RemoteHost:
    """A host with a name, an address and a program that does what it is told."""

    def __init__(self, number: int, root: Path) -> None:
        self.name, self._root = f"host-{number}", root
        self._anchor = subprocess.Popen(
            ["unshare", "--net", "--uts", "sh", "-c", f"hostname {self.name}; echo ready; exec sleep 600"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._anchor.stdout is not None
        assert self._anchor.stdout.readline() == "ready\n"
        self._enter = ["nsenter", "-t", str(self._anchor.pid), "--net", "--uts"]
        self._link, far = f"veth{number}", f"far{number}"
        run("ip", "link", "add", self._link, "type", "veth", "peer", "name", far)
        run("ip", "link", "set", far, "netns", str(self._anchor.pid))
        run("ip", "link", "set", self._link, "master", "br0", "up")
        run(*self._enter, "ip", "addr", "add", f"{NETWORK}.{number}/24", "dev", far)
        run(*self._enter, "ip", "link", "set", far, "up")
        self.start()

    def start(self) -> None:
        self._program = subprocess.Popen(
            [*self._enter, sys.executable, "-m", "tests.fakes.host_program", str(self._root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, what: str, *arguments: Any) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps({"do": what, "with": arguments}) + "\n")
        self._program.stdin.flush()

    def end(self) -> Any:
        """What the thing that was begun gave; its refusal as a text."""
        assert self._program.stdout is not None
        told = json.loads(self._program.stdout.readline())
        return told.get("answer", told.get("refused"))

    def do(self, what: str, *arguments: Any) -> Any:
        self.begin(what, *arguments)
        return self.end()

    def cut_off(self) -> None:
        run("ip", "link", "set", self._link, "down")

    def heal(self) -> None:
        run("ip", "link", "set", self._link, "up")

    def kill(self) -> None:
        self._program.kill()
        self._program.communicate()

    def close(self) -> None:
        self.kill()
        self._anchor.kill()
        self._anchor.communicate()
