"""torchvision is imported without torch's compiler, which nothing that answers ever runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

_COMPILER: Final = "torch._dynamo.utils"


@contextmanager
def without_compiler() -> Iterator[None]:
    """Put off the import of torch's compiler while the body imports torchvision, until something asks for it.

    torchvision 0.29 takes one function from it (`torchvision.ops.roi_align`), and with that come Triton,
    SymPy and distributed tensors: 1,400 modules, 4 of the 12 CPU seconds that a service took to start, and
    130 MiB of its memory. Whoever does compile imports the real one as always. Nothing happens where it is
    there already.
    """
    if _COMPILER in sys.modules:
        yield
        return
    stand_in = _Compiler(_COMPILER)
    sys.modules[_COMPILER] = stand_in
    try:
        yield
    finally:
        stand_in.make_room()


class _Compiler(ModuleType):
    """Stands in for the compiler's module: it has the one function, and everything else on request."""

    def make_room(self) -> None:
        """Let the next import find the real module."""
        if sys.modules.get(_COMPILER) is self:
            del sys.modules[_COMPILER]

    def is_compile_supported(self, device_type: Any) -> Any:
        """Ask the real function of that name."""
        return self._find("is_compile_supported")(device_type)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system looks for in every module
            raise AttributeError(name)
        return self._find(name)

    def _find(self, name: str) -> Any:
        self.make_room()
        return getattr(importlib.import_module(_COMPILER), name)
