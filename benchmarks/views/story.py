"""A ledger of years in which IoU and drift move: that of `benchmarks.ledger` with varied figures."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.ledger.story import Story, write_story
from maskloop.records import kinds
from registry.gates.blessing import make_verdict

_CLASSES = ("bolt", "nut", "washer", "gear")
_SOURCES = ("belt camera 1", "belt camera 2", "hall camera")


class VariedStory(Story):
    """Tells the same cycles; every figure is drawn from one seed."""

    def tell(self, num_cycles: int) -> VariedStory:
        """Add so many cycles."""
        self.chance = random.Random(0)
        super().tell(num_cycles)
        return self

    def _judge_drift(self, window: str, outcome: str) -> None:
        has_drifted = outcome == "drift"
        low, high = (0.35, 0.95) if has_drifted else (0.05, 0.28)
        source = self.chance.choice(_SOURCES)
        record = kinds.DriftJudged.model_validate(
            {
                "outcome": outcome,
                "reason": "brightness and sharpness moved (compared with all sources)",
                "window_id": f"{len(self.entries):016x}",
                "num_samples": 120,
                "num_scenes": self.chance.randint(60, 120),
                "missing_percent": 0.0,
                "baseline_digest": "b" * 64,
                "weights_digest": self.champions[-1][1] if self.champions else "",
                "threshold_digest": "t" * 64,
                "drifted_features": ("brightness", "sharpness", "count of bolt") if has_drifted else (),
                "report": f".maskloop/reports/drift/{window}/index.html",
                "sources": tuple(sorted({source, _SOURCES[0]})),
                "drifted_sources": (source,) if has_drifted else (),
                "score": self.chance.uniform(low, high),
            }
        )
        self._write(record, key=f"drift:{record.window_id}")

    def _judge(self, candidate: kinds.CandidateRegistered, outcome: str) -> kinds.VerdictReached:
        by_class = {name: min(0.97, self.chance.gauss(0.8, 0.03)) for name in _CLASSES}
        measured = {"iou.mean": sum(by_class.values()) / len(by_class)}
        measured |= {f"iou.class.{name}": iou for name, iou in by_class.items()}
        checks = [
            kinds.Check.model_validate(
                {
                    "name": name,
                    "outcome": outcome if name == "iou.mean" else "pass",
                    "measured": value,
                    "required": 0.6,
                    "reason": f"{name} is {value:.2f}; the floor is 0.60",
                }
            )
            for name, value in measured.items()
        ]
        return make_verdict(
            checks,
            candidate_version=candidate.version,
            candidate_digest=candidate.weights_digest,
            champion_digest=self.champions[-1][1] if self.champions else "",
            data_tag=candidate.data_tag,
            data_fingerprint=candidate.data_fingerprint,
            policy_digest="p" * 64,
            evaluated_pictures_digest="e" * 64,
        )


def write_varied_story(root: Path, num_cycles: int) -> VariedStory:
    """Write a workspace whose ledger tells so many cycles."""
    story = VariedStory()
    write_story(root, num_cycles, story)
    return story
