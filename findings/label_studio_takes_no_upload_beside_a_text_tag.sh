#!/usr/bin/env bash
# label-studio 1.23.2: a project whose labelling interface shows a second column of the task in a named tag (here
# `<Text name="cause" value="$cause"/>` beside the picture) takes no uploaded file any more, not even with
# `commit_to_project=false`, where the upload is to become no task and its column is named later by the import.
# `<Header value="$cause"/>`, which has no name, shows the same and does no harm.
# Expected: 201 for both interfaces.
# Seen: 201 with the header, 400 with the text: "direct file upload supports only one data key".
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check label-studio==1.23.2
cd "$work"; HOME="$work" "$work/venv/bin/python" -W ignore - <<'PY'
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
url, token = f"http://127.0.0.1:{port}", "0123456789abcdef0123456789abcdef01234567"
quiet = {"COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}
command = [Path(sys.executable).parent / "label-studio", "start", "--no-browser", "--data-dir", "data", "--host", url,
           "--internal-host", "127.0.0.1", "-p", str(port), "--username", "a@example.org", "--password", "a-test-1",
           "--enable-legacy-api-token", "--user-token", token]
with open("log", "wb") as log:
    server = subprocess.Popen(command, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True)
try:
    for _ in range(300):
        try:
            if requests.get(f"{url}/health", timeout=5).ok:
                break
        except requests.ConnectionError:
            time.sleep(1)
    headers, seen = {"Authorization": f"Token {token}"}, {}
    for tag in ('<Header value="$cause"/>', '<Text name="cause" value="$cause"/>'):
        interface = (f'<View>{tag}<Image name="image" value="$image"/><BrushLabels name="brush" toName="image">'
                     '<Label value="part"/></BrushLabels></View>')
        project = requests.post(f"{url}/api/projects", headers=headers,
                                json={"title": "any title", "label_config": interface}, timeout=60).json()["id"]
        answer = requests.post(f"{url}/api/projects/{project}/import?commit_to_project=false", headers=headers,
                               files={"file": ("a.png", b"\x89PNG\r\n", "image/png")}, timeout=60)
        seen[tag] = answer.status_code
        print(f"{tag}: {answer.status_code} {answer.text[:160]}")
finally:
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(30)
assert list(seen.values()) == [201, 400], "the behaviour has changed"
PY
