#!/usr/bin/env bash
# prefect-kubernetes 0.8.0 with prefect 3.8.8: the worker's own template has `completions` and `parallelism` in the spec
# of the pods, where Kubernetes has no such fields, and the worker refuses a template without them.
# Expected: the worker's own template makes jobs that Kubernetes' schema accepts.
# Seen: the schema refuses the job because of both; without them the template is refused ("Job is missing required
# attributes at the following paths: /spec/template/spec/completions, ..."). An API server leaves the fields out with a
# warning, so jobs run; strict validation (`--validate=strict`, policies) refuses them. A template with both in the
# Job's own spec is taken, and makes jobs that the schema accepts.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    prefect==3.8.8 "fastapi<0.140" "sqlalchemy<2.1" prefect-kubernetes==0.8.0 kubernetes-validate==1.37.0
cat > "$work/make_job.py" <<'PY'
import asyncio
import copy
import uuid

import kubernetes_validate
from prefect.client.schemas import FlowRun
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration


def make_job(template):
    making = KubernetesWorkerJobConfiguration.from_template_and_values(
        template, {"image": "example/flows:1.0.0"}, client=object()
    )
    configuration = asyncio.run(making)
    configuration.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), name="run", flow_id=uuid.uuid4()))
    return configuration.job_manifest


default = KubernetesWorker.get_default_base_job_template()
job = make_job(default)
pod = job["spec"]["template"]["spec"]
try:
    kubernetes_validate.validate(copy.deepcopy(job), "1.37", strict=True)
    raise SystemExit("Kubernetes' schema now accepts the job")
except kubernetes_validate.ValidationError as error:
    print("the default template's job:", error.message)
    assert "completions" in error.message or "parallelism" in error.message, error.message

left_out, moved = copy.deepcopy(default), copy.deepcopy(default)
for name in ("completions", "parallelism"):
    left_out["job_configuration"]["job_manifest"]["spec"]["template"]["spec"].pop(name)
    spec = moved["job_configuration"]["job_manifest"]["spec"]
    spec[name] = spec["template"]["spec"].pop(name)
try:
    make_job(left_out)
    raise SystemExit("the fields may now be left out")
except ValueError as error:
    said = next(line for line in str(error).splitlines() if "missing" in line)
    print("without the fields:", said.strip())
job = make_job(moved)
job["metadata"]["name"] = "run"
job["spec"] = {key: value for key, value in job["spec"].items() if value is not None}
kubernetes_validate.validate(job, "1.37", strict=True)
print("with the fields in the Job's spec: taken, and accepted by Kubernetes' schema")
PY
"$work/venv/bin/python" "$work/make_job.py"
