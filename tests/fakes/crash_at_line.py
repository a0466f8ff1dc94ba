"""Kill a process, as ``kill -9`` does, at the Nth line it executes of some files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

KILLED = 9


def killed_at_line(number: int, files: tuple[str, ...], run: Callable[[], object]) -> bool:
    """Run in a child that ends at once at its Nth line of ``files``; tell whether it came that far."""
    child = os.fork()
    if child == 0:
        lines_left = number

        def count(frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal lines_left
            if frame.f_code.co_filename not in files:
                return None
            if event == "line":
                lines_left -= 1
                if lines_left == 0:
                    os._exit(KILLED)
            return count

        sys.settrace(count)
        try:
            run()
        finally:
            sys.settrace(None)
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == KILLED
