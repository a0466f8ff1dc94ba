"""The machine that models compute on, behind its port: see `models.ports.Machine`."""

from __future__ import annotations

from models.artifacts.environment import describe_environment
from models.devices import choose_device, count_cores, use_cores, uses_bf16


class TorchMachine:
    """This machine as torch sees it."""

    def device(self, name: str) -> str:
        """Return the name of the device that ``name`` means here."""
        return str(choose_device(name))

    def uses_bf16(self, precision: str, device: str) -> bool:
        """Tell whether a training of this precision computes in bfloat16 on the device."""
        return uses_bf16(precision, choose_device(device))

    def environment(self) -> dict[str, str]:
        """Return names and versions of hardware and software."""
        return describe_environment()

    def count_cores(self, device: str) -> int:
        """Return how many cores models on the device compute with."""
        return count_cores(device)

    def use_cores(self, count: int) -> None:
        """Set the number of cores for the computations of the calling thread."""
        use_cores(count)
