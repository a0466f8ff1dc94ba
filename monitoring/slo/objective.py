"""The objectives of a workspace: the defaults, or what its settings put in their place. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from maskloop.errors import ConfigurationError
from maskloop.settings.slo_settings import Indicator, ObjectiveSettings
from maskloop.settings.workspace_settings import GateSettings, Settings


@dataclass(frozen=True)
class Objective:
    """One service level objective.

    Attributes:
        name: Lower-case letters, digits, hyphens.
        indicator: What is measured.
        target: What has to be good, 0..1.
        window_days: The time that the budget is for.
        within_s: Of ``latency``: an answer is good up to here; 0 for other indicators.
        min_instances: Of ``quality``: a class with fewer labelled instances in the window says nothing.
    """

    name: str
    indicator: Indicator
    target: float
    window_days: float = 30.0
    within_s: float = 0.0
    min_instances: int = 20

    @property
    def budget(self) -> float:
        """What may be bad, as a share, 0..1."""
        return 1.0 - self.target

    def promise(self) -> str:
        """Say what is promised.

        >>> Objective("availability", "availability", 0.999).promise()
        '99.9 % of the answers are no errors, over 30 days'
        """
        percent = f"{100 * self.target:g} %"
        match self.indicator:
            case "availability":
                said = f"{percent} of the answers are no errors"
            case "latency":
                said = f"{percent} of the answers take at most {1000 * self.within_s:g} ms"
            case "drift":
                said = f"{percent} of the time production has not drifted"
            case "quality":
                said = f"the mean mask IoU on labels from production is at least {self.target:.2f}"
        return f"{said}, over {self.window_days:g} days"


def find_objectives(settings: Settings) -> tuple[Objective, ...]:
    """Return what is promised: the defaults, then the settings' own; an entry replaces its namesake.

    Raises:
        ConfigurationError: if two entries have one name.
    """
    named = {one.name: one for one in default_objectives(settings)}
    names = [one.name for one in settings.slo]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"two objectives are called {twice[0]}", where="[[slo]] in maskloop.toml")
    named |= {one.name: _read(one) for one in settings.slo}
    return tuple(one for one in named.values() if one.target > 0)


def default_objectives(settings: Settings) -> tuple[Objective, ...]:
    """Return what is promised without settings: what rollouts and gates ask for already."""
    slo, gates = settings.serving.slo, settings.gates or GateSettings()
    return (
        Objective("availability", "availability", 1.0 - slo.max_error_percent / 100.0),
        Objective("latency", "latency", 0.95, within_s=slo.p95_ms / 1000.0),
        Objective("drift", "drift", 0.95),
        Objective("quality", "quality", gates.min_mean_iou, min_instances=gates.min_instances),
    )


def _read(one: ObjectiveSettings) -> Objective:
    return Objective(
        one.name,
        one.indicator,
        one.objective_percent / 100.0,
        one.window_days,
        (one.within_ms or 0.0) / 1000.0,
        one.min_instances,
    )
