"""torch and the code that answers, imported once for all workers of a service, which begin as copies of it.

Nothing is computed here and no thread is started, so that the copies begin as this process is.
"""

from __future__ import annotations

import gc

from models.imports import without_compiler

with without_compiler():
    from models.answering.predictors import TorchPredictors

__all__ = ["TorchPredictors"]

gc.freeze()  # the collector would write into the pages that all copies share
