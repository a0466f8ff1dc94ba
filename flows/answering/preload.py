"""All that the workers of a service import, once for all of them: they are copies of the process that did.

Nothing is computed here and no thread is started, so that the copies begin as this process is.
"""

from __future__ import annotations

import gc
from typing import Final

from flows.answering.service_assembly import make_application
from models.imports import without_compiler

with without_compiler():
    from models.answering.predictors import TorchPredictors

PRELOADED: Final = (make_application, TorchPredictors)

gc.freeze()  # the collector would write into the pages that all copies share
