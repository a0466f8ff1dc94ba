#!/usr/bin/env bash
# uvicorn 0.54.0: a worker whose event loop is blocked passes the supervisor's health check, because a thread of its own
# answers the ping. `timeout_worker_healthcheck` therefore finds no worker that answers nobody.
# Expected: a worker that answers no request for many times the timeout is ended and replaced.
# Seen: with a timeout of 1 s and the only worker blocked for 12 s, the same process is kept, and the request that came
# in meanwhile is answered after the 12 s.
set -euo pipefail
work=$(mktemp -d); server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0
cat > "$work/app.py" <<'PY'
import os
import time


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/block":
        time.sleep(12)  # what a slow call inside a coroutine does
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
PY
cat > "$work/serve.py" <<'PY'
import socket

import uvicorn
from uvicorn.supervisors import Multiprocess

if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        "app:app", workers=1, timeout_worker_healthcheck=1, log_level="warning"
    )
    Multiprocess(config, sockets=[listening]).run()
PY
cd "$work"
"$work/venv/bin/python" serve.py > port & server=$!
"$work/venv/bin/python" - <<'PY'
import threading
import time
import urllib.request
from pathlib import Path

while not (port := Path("port").read_text().strip()):
    time.sleep(0.1)


def get(path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return answer.read().decode()


before = get("/")
blocking = threading.Thread(target=get, args=("/block",))
blocking.start()
time.sleep(1)
began = time.monotonic()
after = get("/")
waited_s = time.monotonic() - began
blocking.join()
print(f"the second request waited {waited_s:.1f} s; the worker was {'kept' if before == after else 'replaced'}")
assert before == after and waited_s > 8
print("behaviour as stated")
PY
