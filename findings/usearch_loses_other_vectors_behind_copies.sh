#!/usr/bin/env bash
# usearch 2.26.6: many copies of one vector hide the other vectors of the index. The copies are each other's nearest neighbours
# and use up one another's links, so the graph falls apart and a vector sought with itself is not found. Pictures of a covered
# lens, or of an empty belt, have such embeddings. faiss-cpu 1.15.1's HNSW index suffers as well, an exact search never.
# Expected: other vectors are found as well as without the copies; their distance 0 is the smallest there is.
# Seen: 100 vectors, each sought with itself: 100 found; behind 900 copies of another one: usearch 0, faiss 86, exact 100.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" usearch==2.26.6 faiss-cpu==1.15.1 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import faiss
import numpy as np
from usearch.index import Index

faiss.omp_set_num_threads(1)
random = np.random.default_rng(0)
copied, sought = random.normal(size=(1, 64)).astype(np.float32), random.normal(size=(100, 64)).astype(np.float32)


def found(stored):
    """How many of the last 100 are found with usearch, faiss's HNSW and faiss's exact index."""
    wanted = np.arange(len(stored) - 100, len(stored))
    graph = Index(ndim=64, metric="l2sq", dtype="f32")
    for number, vector in enumerate(stored):
        graph.add(number, vector)
    counts = [sum(graph.search(vector, 1).keys.tolist() == [number] for number, vector in zip(wanted, sought, strict=True))]
    for index in (faiss.IndexHNSWFlat(64, 32), faiss.IndexFlatL2(64)):
        index.add(stored)
        counts.append(int((index.search(sought, 1)[1][:, 0] == wanted).sum()))
    return counts


alone, among = found(sought), found(np.concatenate([np.repeat(copied, 900, axis=0), sought]))
print(f"usearch, faiss HNSW, exact: alone {alone}, behind 900 copies {among}")
assert alone == [100, 100, 100] and among[0] <= 70 and among[1] <= 97 and among[2] == 100, "the behaviour has changed"
PY
