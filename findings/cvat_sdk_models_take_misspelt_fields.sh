#!/usr/bin/env bash
# cvat-sdk 2.80.0: its generated models look like typed classes, and check the fields they know. A keyword they do not
# know is kept, turned from 3 to 3.0, and sent; a job's state, stage and a label's type take any word, although the
# package has the enumerations. A typing error in a field's name is therefore sent instead of being reported.
# Expected: an exception for `assigne` (as for `state="finished"` in the same request), and for an answer whose state
# CVAT does not have.
# Seen: PATCH /api/jobs/7 with {"assigne": 3.0}; JobRead with state "finished"; PatchedLabelRequest of type "masks".
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cvat-sdk==2.80.0
cd "$work"; HOME="$work" "$work/venv/bin/python" -W ignore - <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from cvat_sdk.api_client import ApiClient, Configuration, models
from cvat_sdk.api_client.exceptions import ApiValueError

sent = []


class Job(BaseHTTPRequestHandler):
    """Answers like a server whose job is in a state that CVAT does not have."""

    def do_PATCH(self):
        sent.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        summary = {"url": "http://cvat/api", "count": 0}
        answer = json.dumps({"id": 7, "state": "finished", "issues": summary, "labels": {"url": "http://cvat/api"}})
        self.send_response(200)
        self.send_header("content-type", "application/vnd.cvat+json")
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Job)
threading.Thread(target=server.serve_forever, daemon=True).start()
with ApiClient(Configuration(host=f"http://127.0.0.1:{server.server_port}")) as client:
    wrong = models.PatchedJobWriteRequest(assigne=3)  # the field is called assignee
    job, _ = client.jobs_api.partial_update(7, patched_job_write_request=wrong)
server.shutdown()
try:
    models.PatchedJobWriteRequest(state="finished")
    is_checked = False
except ApiValueError:
    is_checked = True
words = sorted(models.OperationStatus.allowed_values["value",].values())
label = models.PatchedLabelRequest(type="masks")
print("sent:", sent, "| state in a request is checked:", is_checked)
print("state of the answer:", repr(job.state), "| states that CVAT has:", words)
print("label type:", label.to_dict(), "| types that CVAT has:", sorted(models.LabelType.allowed_values["value",].values()))
assert (sent, is_checked, job.state, label.type) == ([{"assigne": 3.0}], True, "finished", "masks"), "it has changed"
PY
