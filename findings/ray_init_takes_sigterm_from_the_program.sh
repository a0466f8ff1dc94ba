#!/usr/bin/env bash
# ray 2.60.0: a program that handles SIGTERM, for example to save its work when a spot machine is taken away or Kubernetes ends a pod,
# calls `ray.init`. From then on Ray's own handlers are in its place: the program's is never called, and the process ends with
# exit code 15, or with SIGABRT and a C++ stack trace while it waits in native code, whatever it had to save. No warning is given.
# Setting the handler again after `ray.init` helps.
# Expected: the handler is the program's own, as before, or is called too.
# Seen: the handler before and after differ; SIGTERM ends the process without a call of it; set again, it is called.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" "ray==2.60.0"
cd "$work"; cat > program.py <<'PY'
import os
import signal
import sys

import ray


def save(number, frame):
    print("saved", flush=True)
    os._exit(0)


signal.signal(signal.SIGTERM, save)
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
print("its own:", signal.getsignal(signal.SIGTERM) is save, flush=True)
if sys.argv[1:] == ["again"]:
    signal.signal(signal.SIGTERM, save)
os.kill(os.getpid(), signal.SIGTERM)
signal.sigtimedwait([], 5)
print("still here", flush=True)
PY
RAY_USAGE_STATS_ENABLED=0 "$work/venv/bin/python" -W ignore program.py > once 2>/dev/null && code=0 || code=$?
RAY_USAGE_STATS_ENABLED=0 "$work/venv/bin/python" -W ignore program.py again > again 2>/dev/null
echo "as it is:   $(tr '\n' ' ' < once)exit code $code"
echo "set again:  $(tr '\n' ' ' < again)exit code 0"
test "$(cat once)" = "its own: False" && test "$code" != 0 || { echo "the behaviour has changed"; exit 1; }
grep -q saved again || { echo "the behaviour has changed"; exit 1; }
