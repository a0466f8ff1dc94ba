"""What a feature is, and a table of them. The order of a table's rows has no meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.observation import Pause, go_on

FeatureGroup = Literal[
    "light", "colour", "sharpness", "noise", "detections", "confidence", "shape", "embedding"
]
Needs = Literal["picture", "answer", "detections", "instances"]
COUNT_OF: Final = "count of "
"""Before a class's name: the feature that says how many instances of the class were found."""
_DECIMALS: Final = 6
_Measure = Callable[[AnsweredPicture], float | None]


@dataclass(frozen=True)
class Feature:
    """One number about a picture or about what the model found in it.

    Attributes:
        name: Its name in stored samples and baselines, in words with underscores. Never reused.
        group: What it is about; of a group's drifted picture features only the largest is named as a cause.
        needs: What it is measured on: the ``picture`` alone; the model's ``answer``, which may be empty; at
            least one of its ``detections``; or at least one of the ``instances`` of the feature's class. The
            last two are not missed where there are none.
        unit: Of its values; empty for a plain number or share.
        falls: What a lower mean says, as a clause: ``the pictures are darker``.
        rises: What a higher mean says.
        measure: Returns the value, or None where it does not exist (a filter larger than the picture). None
            in place of a function: the values come from elsewhere, as the embedding does.
        lower: What one picture with a lower value is, compared with others: ``is darker``; ``than`` follows.
        higher: What one with a higher value is.
        class_name: The class it is about; empty if it is about all.
        shown_as: The name as people read it, where it is not ``name``.
    """

    name: str
    group: FeatureGroup
    needs: Needs
    unit: str
    falls: str
    rises: str
    measure: _Measure | None
    lower: str
    higher: str
    class_name: str = ""
    shown_as: str = ""

    @property
    def label(self) -> str:
        """The name as people read it."""
        return self.shown_as or self.name.replace("_", " ")

    def is_expected(self, features: Mapping[str, float | None]) -> bool:
        """Tell whether a picture with these features should have a value for this one."""
        if self.needs == "instances":
            return bool(features.get(COUNT_OF + self.class_name))
        return self.needs != "detections" or features.get("count") != 0.0


@dataclass(frozen=True)
class ClassFeature:
    """A feature that there is once for each class.

    Attributes:
        prefix: Before the class's name in the name of the feature: ``count of ``.
        group: As in `Feature`, like the next two.
        needs: What it is measured on.
        unit: Of its values.
        falls: As in `Feature`, with ``{}`` for the class's name.
        rises: The same for a higher mean.
        measure: Returns the value for the class with an index.
        lower: As in `Feature`, with ``{}`` for the class's name.
        higher: The same for a higher value.
        shown_as: As in `Feature`, with ``{}`` for the class's name.
    """

    prefix: str
    group: FeatureGroup
    needs: Needs
    unit: str
    falls: str
    rises: str
    measure: Callable[[AnsweredPicture, int], float | None]
    lower: str
    higher: str
    shown_as: str = ""

    def names(self, feature_name: str) -> bool:
        """Tell whether a feature of that name is one of these."""
        return feature_name.startswith(self.prefix)

    def of_class(self, class_name: str) -> Feature:
        """Return the feature of one class, to be named: what is measured depends on the class's index."""
        return Feature(
            name=f"{self.prefix}{class_name}",
            group=self.group,
            needs=self.needs,
            unit=self.unit,
            falls=self.falls.format(class_name),
            rises=self.rises.format(class_name),
            measure=None,
            lower=self.lower.format(class_name),
            higher=self.higher.format(class_name),
            class_name=class_name,
            shown_as=self.shown_as.format(class_name),
        )

    def of_index(self, class_index: int) -> _Measure:
        """Return what measures the class with an index."""
        return lambda seen: self.measure(seen, class_index)


@dataclass(frozen=True)
class FeatureTable:
    """All features that are measured.

    Attributes:
        features: The ones there is one of.
        of_classes: The ones there are one of for each class.

    Raises:
        ValueError: if two have the same name.
    """

    features: tuple[Feature, ...]
    of_classes: tuple[ClassFeature, ...] = ()

    def __post_init__(self) -> None:
        names = [*(one.name for one in self.features), *(one.prefix for one in self.of_classes)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"more than one feature is called {', '.join(sorted(twice))}")

    @cached_property
    def _by_name(self) -> Mapping[str, Feature]:
        return {feature.name: feature for feature in self.features}

    def find(self, name: str) -> Feature | None:
        """Return the feature of that name; None for one that is not measured (any more)."""
        if (feature := self._by_name.get(name)) is not None:
            return feature
        for kind in self.of_classes:
            if kind.names(name):
                return kind.of_class(name.removeprefix(kind.prefix))
        return None

    def measure(
        self, seen: AnsweredPicture, class_names: Sequence[str], *, pause: Pause = go_on
    ) -> dict[str, float]:
        """Return the features of a picture by name, rounded to six decimals, without those that do not exist.

        Args:
            seen: The picture and the answer.
            class_names: What a class index counts into.
            pause: Is called before each feature.
        """
        values = {}
        for name, measure in self._measures(seen, class_names):
            pause()
            if (value := measure(seen)) is not None:
                values[name] = round(value, _DECIMALS)
        return values

    def _measures(self, seen: AnsweredPicture, class_names: Sequence[str]) -> Iterator[tuple[str, _Measure]]:
        for feature in self.features:
            if feature.measure is not None and (feature.needs != "detections" or len(seen.detections)):
                yield feature.name, feature.measure
        found = set(seen.detections.class_indices.tolist())
        for kind in self.of_classes:
            for index, name in enumerate(class_names):
                if kind.needs != "instances" or index in found:
                    yield f"{kind.prefix}{name}", kind.of_index(index)
