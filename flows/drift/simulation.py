"""The false-alarm budget on trial: simulated quarters, and the delay until named changes are seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import LabelledPicture
from flows.drift.champion_pictures import ChampionReferences, ServingChampion
from flows.evidence.evaluate import BATCH_SIZE, load_picture
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.digest import digest_value
from maskloop.errors import DataError, IntegrityError, RefusedError
from maskloop.files import write_text
from maskloop.settings.workspace_settings import MonitoringSettings
from maskloop.state.loop_state import LoopState
from models.ports import Predictor
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.features.observation import Observation
from monitoring.features.table import observe
from monitoring.sequential.findings import Delay, Simulation, as_days, measure_delay, quarter_days
from monitoring.sequential.policy import run_quarters
from monitoring.sequential.scoring import Scorer, fit_scorer
from monitoring.sequential.shifts import NEW_CAMERA_SHARE, PICTURE_SHIFTS, Shift
from monitoring.sequential.simulation import make_groups, simulate_runs
from monitoring.sequential.storage import load_detector

MAX_PICTURES: Final = 150
"""Of the champion's own; a larger reference is simulated with so many, which delays alarms."""
USUAL_SCENES_PER_DAY: Final = 100.0
MAX_SCENES_PER_DAY: Final = 100.0
"""Of the quarters without a change, whose cost grows with it; the budget is one of time."""
NUM_DELAY_RUNS: Final = 200
WARM_SCENES: Final = 200
HORIZON_SCENES: Final = 1000


def simulate_monitoring(
    app: App,
    *,
    num_quarters: int,
    scenes_per_day: float | None = None,
    num_delay_runs: int = NUM_DELAY_RUNS,
    seed: int = 0,
) -> Simulation:
    """Measure false alarms and delays on the champion's own held-out pictures; nothing is recorded.

    Args:
        app: The workspace.
        num_quarters: Without a change.
        scenes_per_day: None for those of production, or `USUAL_SCENES_PER_DAY` before there are some.
        num_delay_runs: Of each change.
        seed: The same one gives the same figures.

    Raises:
        NotFoundError: if no champion serves yet.
        RefusedError: if there is no budget of false alarms to be measured.
        DataError: if the champion has too few held-out pictures.
    """
    budget = _find_budget(app.settings.monitoring)
    served = app.copies.fetch_champion(app.state())
    champion = ServingChampion(
        served, app.state(), app.data, app.samples, app.copies, app.workspace, app.shared_files, app.teller
    )
    usual, changed = _observe_shifts(champion)
    scorer = fit_scorer(_gather(usual, served.weights_digest))
    if not scorer.columns:
        raise DataError(
            f"{len(usual)} held-out scenes are too few to watch anything",
            hint="label more pictures, or raise data.val_percent",
        )
    measured = _measured_rate(champion)
    rate = scenes_per_day or measured or USUAL_SCENES_PER_DAY
    alarms, null_rate = _run_quietly(app.teller, scorer, usual, num_quarters, rate, budget, seed)
    delays = _run_changes(app.teller, scorer, usual, changed, rate, budget, num_delay_runs, seed)
    hours = _training_hours(champion.state)
    quarters = run_quarters(
        as_days(alarms, null_rate),
        app.settings.retraining,
        num_quarters=num_quarters,
        quarter_days=quarter_days(),
        training_hours=hours,
    )
    return Simulation(
        max_per_quarter=budget,
        num_pictures=len(usual),
        num_numbers=len(scorer.columns),
        scenes_per_day=rate,
        measured_scenes_per_day=measured,
        quarters=tuple(quarters),
        alarm_days=as_days(alarms, null_rate),
        delays=tuple(delays),
        training_hours=hours,
        horizon_scenes=HORIZON_SCENES,
        remarks=_remark(scorer, rate, null_rate),
    )


def _find_budget(settings: MonitoringSettings) -> float:
    if budget := settings.max_false_alarms_per_quarter:
        return budget
    raise RefusedError(
        "there is no budget of false alarms to measure",
        where="maskloop.toml",
        hint="set max_false_alarms_per_quarter under [monitoring]",
    )


def _run_quietly(
    teller: Teller,
    scorer: Scorer,
    usual: Sequence[Observation],
    num_quarters: int,
    rate: float,
    budget: float,
    seed: int,
) -> tuple[NDArray[np.int64], float]:
    """Run the quarters without a change, and a fifth as many runs that follow on retrainings."""
    null_rate = min(rate, MAX_SCENES_PER_DAY)
    with teller.progress("quarters without a change") as progress:
        alarms = simulate_runs(
            make_groups(scorer, usual, usual),
            num_runs=num_quarters + num_quarters // 5,
            num_scenes=max(1, round(null_rate * quarter_days())),
            changes_at=0,
            changed_share=0.0,
            scenes_per_day=null_rate,
            max_per_quarter=budget,
            seed=seed,
            progress=progress,
        )
    return alarms, null_rate


def _run_changes(
    teller: Teller,
    scorer: Scorer,
    usual: Sequence[Observation],
    changed: Mapping[str, Sequence[Observation]],
    rate: float,
    budget: float,
    num_runs: int,
    seed: int,
) -> list[Delay]:
    cases = [(name, seen, 1.0) for name, seen in changed.items()]
    cases.append(
        (f"new camera in {NEW_CAMERA_SHARE:.0%}", changed[PICTURE_SHIFTS[-1].name], NEW_CAMERA_SHARE)
    )
    cases.append(("new class mix", _richest_half(usual), 1.0))
    delays = []
    with teller.progress("changes") as progress:
        for number, (name, seen, share) in enumerate(cases):
            alarms = simulate_runs(
                make_groups(scorer, usual, seen),
                num_runs=num_runs,
                num_scenes=WARM_SCENES + HORIZON_SCENES,
                changes_at=WARM_SCENES,
                changed_share=share,
                scenes_per_day=rate,
                max_per_quarter=budget,
                seed=seed,
            )
            delays.append(measure_delay(name, alarms, changes_at=WARM_SCENES, scenes_per_day=rate))
            progress(number + 1, len(cases))
    return delays


def _richest_half(usual: Sequence[Observation]) -> list[Observation]:
    """Return the scenes with most instances of the class whose number varies most."""
    names = sorted({name for one in usual for name in one.features if name.startswith("count of ")})
    if not names:
        return list(usual)

    def counts(name: str) -> list[float]:
        return [one.features.get(name) or 0.0 for one in usual]

    varied = max(names, key=lambda name: float(np.std(counts(name))))
    order = np.argsort([-value for value in counts(varied)], kind="stable")
    return [usual[place] for place in order[: max(1, len(usual) // 2)].tolist()]


def _measured_rate(champion: ServingChampion) -> float | None:
    try:
        detector = load_detector(champion.workspace.detector_file(champion.weights_digest))
    except IntegrityError:
        return None
    return detector.scenes_per_day if detector else None


def _training_hours(state: LoopState) -> float:
    seconds = [seconds for _, seconds in state.trainings]
    return float(np.mean(seconds)) / 3600.0 if seconds else 1.0


def _remark(scorer: Scorer, rate: float, null_rate: float) -> tuple[str, ...]:
    said = [f"{name} is not watched: {why}" for name, why in scorer.unwatched.items()]
    if null_rate < rate:
        said.append(
            f"quarters were simulated with {null_rate:g} scenes a day, changes with {rate:g}: the budget is"
            " one of time, whatever the number of scenes"
        )
    return tuple(said)


def _gather(seen: Sequence[Observation], weights_digest: str) -> Baseline:
    return build_baseline(seen, weights_digest=weights_digest, data_fingerprint="simulated")


def _observe_shifts(champion: ServingChampion) -> tuple[list[Observation], dict[str, list[Observation]]]:
    """Show the champion its own pictures as they are and changed; kept, because it takes minutes."""
    pictures = _choose_scenes(champion.compared)
    key = digest_value([[one.digest for one in pictures], [shift.name for shift in PICTURE_SHIFTS], 1])[:16]
    directory = champion.workspace.shifts_dir(champion.weights_digest) / key
    shifts = (Shift("", lambda pixels, _rng: pixels), *PICTURE_SHIFTS)
    if not (directory / "complete").exists():
        predictor, max_mpx = champion.load(), champion.settings.data.max_picture_mpx
        files = [champion.compared.version.path(one) for one in pictures]
        with champion.teller.progress("the champion's pictures, changed") as progress:
            for number, shift in enumerate(shifts):
                _observe_shift(predictor, files, shift, directory / f"{number}.json", max_mpx)
                progress(number + 1, len(shifts))
        write_text(directory / "complete", "")
    kept = [_read_observations(directory / f"{number}.json") for number in range(len(shifts))]
    return kept[0], {shift.name: seen for shift, seen in zip(PICTURE_SHIFTS, kept[1:], strict=True)}


def _choose_scenes(champion: ChampionReferences) -> list[LabelledPicture]:
    """Take one picture of each scene, by lot."""
    of_scene: dict[str, LabelledPicture] = {}
    for picture in champion.held_out:
        of_scene.setdefault(picture.group or picture.digest, picture)
    scenes = sorted(of_scene.values(), key=lambda picture: picture.digest)
    return scenes[:MAX_PICTURES]


def _observe_shift(
    predictor: Predictor, pictures: Sequence[Path], shift: Shift, file: Path, max_mpx: float
) -> None:
    """Write what changed pictures look like to a model into a file, unless it is there."""
    if file.exists():
        return
    rng = np.random.default_rng(0)
    found = []
    for start in range(0, len(pictures), BATCH_SIZE):
        batch = pictures[start : start + BATCH_SIZE]
        seen = [shift.change(load_picture(one, max_mpx), rng) for one in batch]
        for pixels, prediction in zip(seen, predictor.predict(seen), strict=True):
            confident = prediction.detections.select(prediction.detections.reach(predictor.score_threshold))
            one = observe(pixels, confident, predictor.class_names, prediction.embedding)
            found.append({"features": dict(one.features), "embedding": one.embedding})
    write_text(file, json.dumps(found))


def _read_observations(file: Path) -> list[Observation]:
    return [
        Observation(one["features"], tuple(one["embedding"]) if one["embedding"] else None)
        for one in json.loads(file.read_text())
    ]
