"""The chart as Helm renders it, in a process of its own: the runtime of a Go library stays once it is loaded.

``python -m tests.fakes.chart`` reads a list of values as JSON and answers with a list of results.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "chart"
RELEASE, NAMESPACE = "parts", "vision"
PLACES = ("default", "laptop", "team", "gpu-cloud")
"""The values files of the chart, and none."""


@dataclass(frozen=True)
class Rendered:
    """What came of some values: objects, or the error that refused them."""

    objects: tuple[dict[str, Any], ...]
    error: str = ""

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str = RELEASE) -> dict[str, Any]:
        (found,) = (one for one in self.of(kind) if one["metadata"]["name"] == name)
        return found


@cache
def rendered() -> dict[str, Rendered]:
    """Return what each values file makes."""
    return dict(zip(PLACES, render([load_values(name) for name in PLACES]), strict=True))


def pods(found: Rendered) -> dict[str, dict[str, Any]]:
    """Return every pod template, by the component that its labels name."""
    templates = [one["spec"]["template"] for one in found.of("Deployment")]
    templates += [one["spec"]["jobTemplate"]["spec"]["template"] for one in found.of("CronJob")]
    for cluster in found.of("RayCluster"):
        groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
        templates += [group["template"] for group in groups]
    if found.of("Role"):
        job = job_template(found)["job_configuration"]["job_manifest"]
        templates.append(job["spec"]["template"])
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in templates}


def job_template(found: Rendered) -> dict[str, Any]:
    """Return the template from which Prefect makes the jobs of flows."""
    template: dict[str, Any] = json.loads(
        found.one("ConfigMap", f"{RELEASE}-prefect")["data"]["job-template.json"]
    )
    return template


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def load_values(name: str) -> dict[str, Any]:
    """Return a values file of the chart; `default` is an empty one."""
    if name == "default":
        return {}
    values: dict[str, Any] = yaml.safe_load((CHART / f"values-{name}.yaml").read_text(encoding="utf-8"))
    return values


def render(values: Sequence[dict[str, Any]]) -> list[Rendered]:
    """Render the chart once for each set of values."""
    asked = json.dumps(values)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.chart"],
        input=asked, capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    found = []
    for answer in json.loads(done.stdout):
        documents = [part for text in answer["files"].values() for part in yaml.safe_load_all(text)]
        found.append(Rendered(tuple(one for one in documents if one), answer["error"]))
    return found


def main() -> None:
    from helm_python.chart import Chart, lint
    from helm_python.errors import HelmError

    answers: list[dict[str, Any]] = []
    with Chart.load(CHART) as chart:
        for values in json.load(sys.stdin):
            files: dict[str, str] = {}
            error = ""
            try:
                files = chart.render(values, name=RELEASE, namespace=NAMESPACE)
                error = "; ".join(
                    one["error"]
                    for one in lint(CHART, values, strict=True)["messages"]
                    if one["severity"] > 1
                )
            except HelmError as refused:
                error = str(refused)
            notes = {name for name in files if name.endswith(".txt")}
            answers.append({"files": {k: v for k, v in files.items() if k not in notes}, "error": error})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
