"""What is promised, over which time: `[serving.slo]` and the entries `[[slo]]` of `maskloop.toml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from maskloop.settings.sections import Percent, Positive, Section

Indicator = Literal["availability", "latency", "drift", "quality"]


class SloSettings(Section):
    """What users of the service are promised. Burning it faster than `max_burn_rate` ends a rollout."""

    p50_ms: Positive = 80.0
    p95_ms: Positive = 250.0
    max_error_percent: Percent = 0.1
    """Answers of 500 and above, of all answers: the error budget."""
    max_burn_rate: Positive = 5.0
    """Bad answers of the challenger as a multiple of the budget."""


class ObjectiveSettings(Section):
    """One service level objective. It takes the place of the default one of the same name."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    indicator: Indicator
    """What is measured: answers below 500, answers in time, time without drift, mask IoU on new labels."""
    objective_percent: Annotated[float, Field(ge=0.0, lt=100.0)]
    """What has to be good; the rest is the error budget. 0 switches the objective off."""
    window_days: Annotated[float, Field(ge=1.0, le=90.0)] = 30.0
    """The time that the budget is for."""
    within_ms: Positive | None = None
    """Of ``latency``: an answer is good up to here."""
    min_instances: Annotated[int, Field(ge=1)] = 20
    """Of ``quality``: a class with fewer labelled instances in the window says nothing."""

    @model_validator(mode="after")
    def _latency_has_a_limit(self) -> ObjectiveSettings:
        if self.indicator == "latency" and self.objective_percent and self.within_ms is None:
            raise ValueError(f"the objective {self.name} is about latency and needs within_ms")
        return self
