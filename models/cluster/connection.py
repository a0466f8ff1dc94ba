"""Ray on this machine for as long as it is used, or a cluster that is there already."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Final

import ray

from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.settings.model_settings import ClusterSettings

_OBJECT_STORE_BYTES: Final = 2**29
_CALL_S: Final = 10.0
_STARTS: Final = 3
"""Ray gives its processes half a minute to start, which is not always enough on a busy machine."""
_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anyone
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths in settings are those of this process
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def connected(cluster: ClusterSettings) -> Iterator[None]:
    """Connect to the cluster in the settings, or start Ray here; end what was started.

    Raises:
        UnavailableError: if the cluster does not answer.
        ConfigurationError: if it runs another Ray or Python.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with TemporaryDirectory(prefix="maskloop-ray-", ignore_cleanup_errors=True) as folder:
        with _signals_kept():
            _begin(cluster, folder)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Put handlers of signals back: Ray takes SIGTERM for itself, and ends this process with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sign, handler in before.items():
            if handler is not None:
                signal.signal(sign, handler)


def _begin(cluster: ClusterSettings, folder: str) -> None:
    here: dict[str, Any] = {
        "address": "local",
        "num_cpus": max(cluster.workers, os.cpu_count() or 1),
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "_temp_dir": folder,
    }
    there = {"address": cluster.address}
    try:
        _call(cluster.address)
        _init(there if cluster.address else here, attempts=1 if cluster.address else _STARTS)
    except Exception as error:  # Ray has no class of its own for a start that takes too long
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "mismatch" in str(error):
            raise ConfigurationError(
                f"the Ray cluster has other versions than this machine: {said}",
                where=cluster.address,
                hint="install the same Ray and Python on every host",
            ) from error
        if not cluster.address:
            raise UnavailableError(
                f"Ray did not start: {said}", where="this machine", hint="try again when it is less busy"
            ) from error
        raise UnavailableError(
            f"the Ray cluster does not answer: {said}",
            where=cluster.address,
            hint="look at `ray status`; this machine must belong to the cluster (`ray start --address=...`). "
            "An empty training.cluster.address trains here",
        ) from error


def _init(arguments: dict[str, Any], *, attempts: int) -> None:
    try:
        ray.init(**arguments, log_to_driver=False, logging_level="ERROR")
    except Exception:
        ray.shutdown()  # ends those of its processes that did start
        if attempts == 1:
            raise
        _init(arguments, attempts=attempts - 1)


def _call(address: str) -> None:
    """Raise OSError unless something listens at ``host:port``: Ray itself would wait for many minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        with socket.create_connection((host, int(port)), timeout=_CALL_S):
            pass
