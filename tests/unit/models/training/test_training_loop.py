import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from maskloop.errors import ConfigurationError, StoppedError, TrainingError
from models.artifacts.manifest import ArtifactFacts
from models.artifacts.model_folder import save_artifact
from models.loading.batches import PictureCache
from models.training.checkpoint import load_checkpoint
from models.training.training_loop import train


def have_same_weights(one, other):
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def uninterrupted(shapes, tmp_path_factory):
    request = shapes.make_request(tmp_path_factory.mktemp("uninterrupted"))
    return train(request, load_picture=shapes.load_picture)


@pytest.mark.parametrize("die_at", [1, 5])
def test_a_run_killed_at_any_step_ends_with_bitwise_the_same_weights(shapes, uninterrupted, tmp_path, die_at):
    command = [sys.executable, shapes.__file__, str(tmp_path), "--die-at", str(die_at)]
    killed = subprocess.run(command, cwd=Path(__file__).parents[4], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    steps = []
    resumed = train(
        shapes.make_request(tmp_path),
        load_picture=shapes.load_picture,
        on_step=lambda step, *_: steps.append(step),
    )
    assert steps[0] == (1 if die_at == 1 else 5)  # a checkpoint is written every second step
    assert have_same_weights(resumed, uninterrupted)
    assert [h["mean_iou"] for h in resumed.history] == [h["mean_iou"] for h in uninterrupted.history]


def test_the_small_network_learns_on_one_thread_and_leaves_the_number_as_it_was(shapes, tmp_path):
    torch.set_num_threads(2)
    seen = []
    train(
        shapes.make_request(tmp_path, steps=1),
        load_picture=shapes.load_picture,
        on_step=lambda *_: seen.append(torch.get_num_threads()),
    )
    after = torch.get_num_threads()
    torch.set_num_threads(1)
    assert (seen, after) == ([1], 2)


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(shapes, uninterrupted, tmp_path):
    request = shapes.make_request(tmp_path)
    with pytest.raises(StoppedError, match="step 7 of 10"):
        train(request, load_picture=shapes.load_picture, should_stop=_after(7))
    newest = max(tmp_path.glob("*.pt"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    steps = []
    resumed = train(request, load_picture=shapes.load_picture, on_step=lambda step, *_: steps.append(step))
    assert steps[0] == 7  # the one after step 6 is the newest intact one
    assert have_same_weights(resumed, uninterrupted)


def _after(count):
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= count


def test_a_finished_run_started_again_takes_no_step(shapes, tmp_path):
    request = shapes.make_request(tmp_path, steps=4)
    first = train(request, load_picture=shapes.load_picture)
    again = train(request, load_picture=shapes.load_picture, on_step=_never)
    assert have_same_weights(first, again)
    assert again.best_step == first.best_step


def _never(*_):
    raise AssertionError("a step was taken")


def test_checkpoints_of_another_request_are_not_continued(shapes, tmp_path):
    train(shapes.make_request(tmp_path, steps=2), load_picture=shapes.load_picture)
    steps = []
    other = shapes.make_request(tmp_path, shapes.tiny_settings(seed=1), steps=2)
    train(other, load_picture=shapes.load_picture, on_step=lambda step, *_: steps.append(step))
    assert steps == [1, 2]


def test_training_makes_the_loss_smaller_and_reports_as_it_goes(shapes, tmp_path):
    settings = shapes.tiny_settings(precision="fp32", evaluate_every_steps=20)
    losses, rates, waits, done, evaluated = [], [], [], [], []

    def listen(_step, values, rate, _speed, waited):
        losses.append(values["loss/total"])
        rates.append(rate)
        waits.append(waited)

    result = train(
        shapes.make_request(tmp_path, settings, steps=40),
        load_picture=shapes.load_picture,
        on_step=listen,
        on_evaluation=lambda step, metrics: evaluated.append(step),
        progress=lambda step, total: done.append((step, total)),
    )
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])
    assert done[-1] == (40, 40)
    assert max(rates) == 0.01
    assert all(0.0 <= waited <= 100.0 for waited in waits)
    assert evaluated == [20, 40]
    parts = ("total", "classifier", "box_reg", "mask", "objectness", "rpn_box_reg")
    assert set(result.history[-1]) == {
        "step", "training_loss", "learning_rate", "mean_iou", "iou/square", "iou/disc",
        *(f"loss/{part}" for part in parts),
    }  # fmt: skip
    assert result.peak_memory_bytes > 2**20
    assert result.seconds > 0
    assert not result.model.training


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "schedule": "cosine"},
        {"schedule": "constant", "precision": "fp32", "num_workers": 2},
    ],
)
def test_every_optimiser_and_schedule_trains(shapes, tmp_path, settings):
    request = shapes.make_request(tmp_path, shapes.tiny_settings(**settings), steps=2)
    result = train(request, load_picture=shapes.load_picture)
    assert result.steps_done == 2


def test_threads_that_prepare_batches_change_nothing(shapes, tmp_path):
    def run(workers):
        settings = shapes.tiny_settings(num_workers=workers)
        request = shapes.make_request(tmp_path / str(workers), settings, steps=3)
        return train(request, load_picture=shapes.load_picture)

    assert have_same_weights(run(0), run(3))


def test_a_compiled_network_learns_the_same_under_the_same_names(
    shapes, uninterrupted, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "models.training.run._COMPILER", "eager"
    )  # traced as always; what is traced is run by torch
    request = shapes.make_request(tmp_path, shapes.tiny_settings(ema_decay=0.5, compile=True))
    torch._dynamo.reset()
    assert have_same_weights(train(request, load_picture=shapes.load_picture), uninterrupted)
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_pictures(shapes, tmp_path):
    request = shapes.make_request(tmp_path, learning_rate=1e30)
    with pytest.raises(
        TrainingError, match=r"is not finite at step \d+.*shape_\d+\.png, shape_\d+\.png"
    ) as caught:
        train(request, load_picture=shapes.load_picture)
    assert "labels" in caught.value.hint
    saved = load_checkpoint(tmp_path)
    assert saved is None or all(torch.isfinite(t).all() for t in saved["model"].values())


def test_early_stopping_keeps_the_best_weights(shapes, tmp_path):
    settings = shapes.tiny_settings(early_stopping_evaluations=2, evaluate_every_steps=1)
    request = shapes.make_request(tmp_path, settings, steps=50, learning_rate=1e-9)
    result = train(request, load_picture=shapes.load_picture)
    assert (result.best_step, result.steps_done) == (1, 3)
    assert train(request, load_picture=shapes.load_picture, on_step=_never).steps_done == 3


def test_without_validation_pictures_the_last_weights_are_kept(shapes, tmp_path):
    request = shapes.make_request(tmp_path, steps=2, dataset=shapes.make_dataset(num_val=0))
    result = train(request, load_picture=shapes.load_picture)
    assert (result.best_step, result.history) == (2, ())


def test_a_warm_start_begins_with_the_parents_weights(shapes, artifact, tiny_model, tmp_path):
    folder, manifest = artifact
    request = shapes.make_request(
        tmp_path / "run",
        shapes.tiny_settings(precision="fp32"),
        steps=1,
        learning_rate=1e-12,
        parent_artifact=folder,
        parent_digest=manifest.weights_digest,
    )
    trained = train(request, load_picture=shapes.load_picture).model
    for name, parameter in tiny_model.named_parameters():
        assert torch.allclose(parameter, trained.get_parameter(name), atol=1e-6), name


def test_a_warm_start_under_other_class_names_starts_with_fresh_predictors(shapes, tiny_model, tmp_path):
    settings = shapes.tiny_settings()
    renamed = ("disc", "square")
    save_artifact(
        tmp_path / "parent",
        tiny_model,
        ArtifactFacts(class_names=renamed, settings=settings.model, score_threshold=0.5),
    )
    request = shapes.make_request(
        tmp_path / "run", settings, steps=1, learning_rate=1e-12, parent_artifact=tmp_path / "parent"
    )
    trained = train(request, load_picture=shapes.load_picture).model
    name = "roi_heads.box_predictor.cls_score.weight"
    assert not torch.allclose(tiny_model.get_parameter(name), trained.get_parameter(name), atol=1e-3)


def test_only_the_chosen_pictures_are_trained_on(shapes, tmp_path):
    dataset = shapes.make_dataset(num_val=0)
    old, new, rest = dataset.pictures[:2], dataset.pictures[2:4], dataset.pictures[4:]
    seen = set()

    def load(path):
        seen.add(path.name)
        return shapes.load_picture(path)

    request = shapes.make_request(
        tmp_path,
        dataset=dataset,
        new_digests=tuple(each.digest for each in new),
        replay_digests=tuple(each.digest for each in old),
    )
    train(request, load_picture=load)
    assert seen == {each.file for each in (*old, *new)}
    assert seen.isdisjoint(each.file for each in rest)


def test_pictures_outside_the_training_split_are_refused(shapes, tmp_path):
    request = shapes.make_request(tmp_path)
    held_out = request.dataset.by_split["val"][0].digest
    with pytest.raises(TrainingError, match="not training pictures of data-v1"):
        train(dataclasses.replace(request, new_digests=(held_out,)), load_picture=shapes.load_picture)


def test_a_run_with_every_augmentation_and_weights_of_pictures_is_continued_bitwise(shapes, tmp_path):
    settings = shapes.tiny_settings(
        num_workers=2,
        augmentation={"scale_range": [0.5, 2.0], "crop": 0.5, "copy_paste": 0.5, "mosaic": 0.3},
        sampling={"repeat_threshold": 1.0, "group_by_orientation": True},
    )
    hard = shapes.make_dataset().by_split["train"][0].digest

    def request(folder):
        return shapes.make_request(tmp_path / folder, settings, steps=6, draw_weights={hard: 2.5})

    whole = train(request("whole"), load_picture=shapes.load_picture)
    with pytest.raises(StoppedError, match="step 3 of 6"):
        train(request("stopped"), load_picture=shapes.load_picture, should_stop=_after(3))
    assert have_same_weights(train(request("stopped"), load_picture=shapes.load_picture), whole)


def test_other_weights_of_pictures_are_another_request(shapes, tmp_path):
    train(shapes.make_request(tmp_path, steps=2), load_picture=shapes.load_picture)
    steps = []
    hard = shapes.make_dataset().by_split["train"][0].digest
    other = shapes.make_request(tmp_path, steps=2, draw_weights={hard: 2.0})
    train(other, load_picture=shapes.load_picture, on_step=lambda step, *_: steps.append(step))
    assert steps == [1, 2]


def test_thresholds_are_calibrated_on_what_a_trained_model_finds(shapes, uninterrupted):
    dataset = shapes.make_dataset()
    found = uninterrupted.calibrate(
        dataset.by_split["val"],
        PictureCache(dataset, shapes.load_picture).pixels,
        class_names=shapes.CLASS_NAMES,
        min_instances=1,
        device="cpu",
    )
    assert found.keys() <= set(shapes.CLASS_NAMES)
    assert all(0.0 < threshold < 1.0 for threshold in found.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_a_teacher_helps_is_continued_bitwise(shapes, artifact, tmp_path, precision):
    folder, manifest = artifact
    settings = shapes.tiny_settings(precision=precision)
    taught = {"teacher_artifact": folder, "teacher_digest": manifest.weights_digest}

    def request(name):
        return shapes.make_request(tmp_path / name, settings, steps=4, **taught)

    losses = []
    whole = train(
        request("whole"),
        load_picture=shapes.load_picture,
        on_step=lambda _step, values, *_: losses.append(values),
    )
    assert all(each["loss/taught_class"] >= 0.0 and "loss/taught_mask" in each for each in losses)
    with pytest.raises(StoppedError, match="step 3 of 4"):
        train(request("stopped"), load_picture=shapes.load_picture, should_stop=_after(3))
    assert have_same_weights(train(request("stopped"), load_picture=shapes.load_picture), whole)


def test_what_was_learnt_without_the_teacher_is_not_continued_with_it(shapes, artifact, tmp_path):
    folder, manifest = artifact
    train(shapes.make_request(tmp_path / "run", steps=2), load_picture=shapes.load_picture)
    steps = []
    taught = {"teacher_artifact": folder, "teacher_digest": manifest.weights_digest}
    other = shapes.make_request(tmp_path / "run", steps=2, **taught)
    train(other, load_picture=shapes.load_picture, on_step=lambda step, *_: steps.append(step))
    assert steps == [1, 2]


def test_torchvisions_own_heads_are_not_silently_left_untaught(shapes, artifact, tmp_path):
    folder, _ = artifact
    settings = shapes.tiny_settings(fast_parts=["anchors"])
    request = shapes.make_request(tmp_path / "run", settings, teacher_artifact=folder)
    with pytest.raises(ConfigurationError, match="cannot be taught"):
        train(request, load_picture=shapes.load_picture)
