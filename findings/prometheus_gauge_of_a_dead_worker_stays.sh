#!/usr/bin/env bash
# prometheus_client 0.26.0, multiprocess mode: a gauge of mode "livesum" goes on counting a worker that was killed, until
# somebody calls mark_process_dead(pid): "live" does not look whether the process lives. And Gauge.set_function, which
# works in one process, exports nothing at all here, without an error.
# Expected: a live gauge leaves the sum with its process; set_function works or raises.
# Seen: livesum 11.0 after the worker with 10 was killed; 1.0 after mark_process_dead; the set_function gauge is 0.0.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check prometheus_client==0.26.0
mkdir "$work/figures"
PROMETHEUS_MULTIPROC_DIR="$work/figures" "$work/venv/bin/python" - <<'PY'
import os
import signal

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

loaded = Gauge("loaded_models", "models in memory", multiprocess_mode="livesum")
asked = Gauge("asked", "worked out when scraped", multiprocess_mode="livesum")
asked.set_function(lambda: 7.0)


def read(name: str) -> float:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return registry.get_sample_value(name)


loaded.set(1)
ready, tell = os.pipe()
worker = os.fork()
if not worker:
    loaded.set(10)
    os.write(tell, b"1")
    signal.pause()
os.read(ready, 1)
os.kill(worker, signal.SIGKILL)
os.waitpid(worker, 0)
after_kill = read("loaded_models")
mark_process_dead(worker)
after_mark = read("loaded_models")
print(f"livesum after kill -9: {after_kill}; after mark_process_dead: {after_mark}; set_function: {read('asked')}")
assert (after_kill, after_mark, read("asked")) == (11.0, 1.0, 0.0), "the behaviour has changed"
PY
