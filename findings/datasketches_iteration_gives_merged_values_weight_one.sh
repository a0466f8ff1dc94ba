#!/usr/bin/env bash
# datasketches 5.2.0: iterating over a KLL sketch yields (value, weight), but after some merges every weight is 1, so the
# weights do not add up to n. It depends on the sizes that were merged: the lowest level of the sketch is empty then.
# get_cdf, get_rank and get_quantiles are right, and so is iteration over a sketch that was not merged.
# Expected: weights that add up to n.
# Seen: sketches of 50 values with k = 8: after the fourth merge n is 200 and 25 weights add up to 25; after the fifth all
# is well, after the eighth n is 400 and 35 weights add up to 35.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check datasketches==5.2.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import datasketches
import numpy as np

values = np.arange(50, dtype=np.float32)
wrong = []
merged = datasketches.kll_floats_sketch(8)
for number in range(1, 17):
    one = datasketches.kll_floats_sketch(8)
    one.update(values)
    assert sum(weight for _, weight in one) == one.n, "a sketch that was not merged"
    merged.merge(one)
    weights = [weight for _, weight in merged]
    if sum(weights) != merged.n:
        wrong.append(number)
        assert set(weights) == {1}, "the behaviour has changed"
    print(f"{number} merged: n {merged.n}, {len(weights)} values kept, weights add up to {sum(weights)}")
print("wrong after these merges:", wrong, "get_cdf(49, inclusive):", merged.get_cdf([49.0], True)[0])
assert wrong, "the behaviour has changed"
assert merged.get_cdf([49.0], True)[0] == 1.0
PY
