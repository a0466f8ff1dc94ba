#!/usr/bin/env bash
# cleanlab 2.9.0: an object label in a picture for which the model finds nothing gets the best quality, 1.0, and is no issue: all
# three of its scores (overlooked, badly located, swapped) start from predicted boxes. So the label for which there is least
# evidence, say one left over on an empty belt, comes last for review; the same label with an object found far away comes first.
# Expected: a label that nothing supports is suspect.
# Seen: right label 1.0; label with no prediction at all 1.0, no issue; with one at another place 0.0 and an issue.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" cleanlab==2.9.0 numpy==2.4.6 pandas==2.3.3 scikit-learn==1.9.1
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from cleanlab.object_detection.filter import find_label_issues
from cleanlab.object_detection.rank import get_label_quality_scores

BOX = [10.0, 10.0, 40.0, 40.0]
FAR = [400.0, 400.0, 460.0, 460.0]


def found(*boxes):
    """Predictions of one picture: an array (N, 5) of boxes and scores for each of two classes."""
    answer = np.empty(2, object)
    answer[:] = [np.array([[*box, 0.99] for box in boxes]).reshape(-1, 5), np.zeros((0, 5))]
    return answer


label = {"bboxes": np.array([BOX]), "labels": np.array([0])}
cases = {"found where labelled": found(BOX), "nothing found": found(), "found elsewhere": found(FAR)}
scores = get_label_quality_scores([label] * 3, list(cases.values()), verbose=False)
issues = find_label_issues([label] * 3, list(cases.values()))
for name, score, issue in zip(cases, scores, issues, strict=True):
    print(f"{name}: quality {score:.3f}, issue {bool(issue)}")
assert scores[0] == scores[1] == 1 and scores[2] < 0.1, "the behaviour has changed"
assert issues.tolist() == [False, False, True], "the behaviour has changed"
PY
