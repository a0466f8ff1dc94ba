"""What all of them have in common: which weights, how large a batch, how long it may gather."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MODEL: Final = Path(os.environ.get("BENCHMARK_MODEL", ""))
MAX_BATCH: Final = 8
WAIT_S: Final = 0.01
