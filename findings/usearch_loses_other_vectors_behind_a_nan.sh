#!/usr/bin/env bash
# usearch 2.26.6: one vector of NaN in an index makes other vectors impossible to find, although they are stored and their own
# queries are free of NaN: the walk through the graph ends at the comparison that is never true. add() takes the vector without
# a word. faiss-cpu 1.15.1's HNSW index loses that vector and at most a neighbour.
# Expected: an error, or that the NaN vector alone is not found.
# Seen: 1,000 vectors, each sought with itself: 1,000 found; with one of them NaN 678; faiss 998.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" usearch==2.26.6 faiss-cpu==1.15.1 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import faiss
import numpy as np
from usearch.index import Index

vectors = np.random.default_rng(0).normal(size=(1000, 16)).astype(np.float32)
spoilt = vectors.copy()
spoilt[500] = np.nan


def found_by_usearch(stored):
    index = Index(ndim=16, metric="l2sq", dtype="f32")
    for number, vector in enumerate(stored):
        index.add(number, vector)
    return sum(index.search(vector, 1).keys.tolist() == [number] for number, vector in enumerate(vectors))


def found_by_faiss(stored):
    index = faiss.IndexHNSWFlat(16, 32)
    index.add(stored)
    return int((index.search(vectors, 1)[1][:, 0] == np.arange(1000)).sum())


clean, seen, other = found_by_usearch(vectors), found_by_usearch(spoilt), found_by_faiss(spoilt)
print(f"found of 1,000: usearch {clean}, with one NaN vector {seen}; faiss with it {other}")
assert clean >= 990 and seen <= 950 and other >= 990, "the behaviour has changed"
PY
