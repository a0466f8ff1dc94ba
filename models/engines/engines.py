"""Engines behind their port: see `models.ports.Engines`."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch

from maskloop.digest import digest_bytes
from models import exports
from models.answering.predictor import TorchPredictor
from models.engines.choice import EngineKey, EngineName, Trial, TrialRequest, WantedEngine
from models.exports import onnx_format, openvino_format
from models.exports.formats import load_export

_PACKAGES: Final[dict[EngineName, tuple[str, ...]]] = {
    "openvino": openvino_format.PACKAGES,
    "onnx": onnx_format.PACKAGES,
}
_TRIAL: Final = (sys.executable, "-P", "-m", "models.engines.trial")
_LOOK_EVERY_S: Final = 0.1
_ENDED_BY_OTHERS: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL}
_SAID_CHARACTERS: Final = 300


class LocalEngines:
    """The engines that are installed on this machine.

    Args:
        command: Runs a trial, given the file of the request.
    """

    def __init__(self, command: Sequence[str] = _TRIAL) -> None:
        self._command = command

    def installed(self) -> tuple[EngineName, ...]:
        """Return the engines, torch aside, whose packages are there to export and to run."""
        return tuple(name for name, packages in _PACKAGES.items() if all(map(find_spec, packages)))

    def key(self, weights_digest: str, wanted: WantedEngine, min_parity: float, threads: int) -> EngineKey:
        """Return what a decision made here and now holds for."""
        packages = [package for name in self.installed() for package in _PACKAGES[name]]
        return EngineKey(
            weights_digest=weights_digest,
            wanted=wanted,
            min_parity=min_parity,
            threads=threads,
            machine=_describe_machine(),
            versions={
                "torch": torch.__version__,
                "exports": _digest_of_exporting(),
                **{package: installed_version(package) for package in packages},
            },
        )

    def try_out(self, request: TrialRequest, *, timeout_s: float, should_stop: Callable[[], bool]) -> Trial:
        """Run a trial in a process of its own, which is ended when the time is over, or to stop."""
        here = str(Path(__file__).resolve().parents[2])
        search_path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        told = request.outcome.with_suffix(".request.json")
        told.write_text(request.model_dump_json(), encoding="utf-8")
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                (*self._command, str(told)),
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                start_new_session=True,  # Ctrl-C is the service's, which then ends this process
                env={**os.environ, "PYTHONPATH": search_path, "OMP_NUM_THREADS": str(request.threads)},
            ) as process,
        ):
            is_over = _wait(process, timeout_s, should_stop)
            if is_over and process.returncode == 0 and request.outcome.is_file():
                return Trial.model_validate_json(request.outcome.read_bytes())
            said.seek(0)
            last = said.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        obstacle = _describe_end(process.returncode) if is_over else f"no outcome within {timeout_s:.0f} s"
        return Trial(
            engine=request.engine,
            obstacles=(": ".join([obstacle, *last])[:_SAID_CHARACTERS],),
            is_lasting=is_over and -process.returncode not in _ENDED_BY_OTHERS,
        )

    def load(
        self, directory: Path, *, expected_digest: str, thread_counts: Collection[int]
    ) -> TorchPredictor:
        """Verify an export and make it ready to answer with these numbers of threads."""
        return load_export(directory, expected_digest=expected_digest, thread_counts=thread_counts)


def _wait(process: subprocess.Popen[bytes], timeout_s: float, should_stop: Callable[[], bool]) -> bool:
    """Tell whether a process ended by itself in time; otherwise it was ended."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not should_stop():
        try:
            process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
        return True
    process.kill()
    process.wait()
    return False


def _describe_end(code: int) -> str:
    if code < 0:
        return f"the engine's process ended with {signal.Signals(-code).name}"
    return f"the engine's process ended with code {code}"


def _describe_machine() -> str:
    cores = os.cpu_count()
    return (
        f"{platform.system()} {platform.machine()}, {_name_cpu()}, "
        f"{torch.backends.cpu.get_cpu_capability()}, {cores} cores"
    )


def _name_cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "cpu family", "model\t", "stepping", "CPU part")
    return " ".join(sorted({line.partition(":")[2].strip() for line in lines if line.startswith(wanted)}))


def _digest_of_exporting() -> str:
    """Return a digest of the code that makes and runs exports: what it changes is tried again."""
    files = sorted(Path(exports.__path__[0]).glob("*.py"))
    return digest_bytes(b"\0".join(file.read_bytes() for file in files))[:12]
