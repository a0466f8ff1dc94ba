import pytest
import torch

from models.training.checkpoint import load_checkpoint, save_checkpoint


def _save(folder, *steps):
    return [
        save_checkpoint(folder, step, {"step": step, "w": torch.full((3,), float(step))}) for step in steps
    ]


def _load(folder):
    state = load_checkpoint(folder)
    assert state is not None
    return state


def test_the_newest_state_comes_back(tmp_path):
    _save(tmp_path, 1, 2)
    state = _load(tmp_path)
    assert state["step"] == 2
    assert torch.equal(state["w"], torch.full((3,), 2.0))


def test_nothing_saved_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "never") is None


def test_the_newest_two_are_kept(tmp_path):
    _save(tmp_path, 1, 2, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000002.pt", "step-00000002.sha256", "step-00000003.pt", "step-00000003.sha256",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["flip", "truncate", "no digest"])
def test_a_damaged_newest_one_falls_back_to_the_one_before(tmp_path, caplog, damage):
    _, newest = _save(tmp_path, 1, 2)
    data = newest.read_bytes()
    if damage == "flip":
        newest.write_bytes(data[:400] + bytes([data[400] ^ 1]) + data[401:])
    elif damage == "truncate":
        newest.write_bytes(data[: len(data) // 2])
    else:
        newest.with_suffix(".sha256").unlink()
    assert _load(tmp_path)["step"] == 1
    assert "step-00000002.pt is damaged" in caplog.text


def test_what_a_killed_writer_left_is_swept(tmp_path):
    _save(tmp_path, 1)
    leftover = tmp_path / ".step-00000002.pt.12345678.tmp"
    leftover.write_bytes(b"half")
    assert _load(tmp_path)["step"] == 1
    assert not leftover.exists()


def test_a_failed_write_leaves_the_earlier_one(tmp_path, monkeypatch):
    _save(tmp_path, 1)
    monkeypatch.setattr(
        "models.training.checkpoint.torch.save", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(Exception, match="disk is full"):
        _save(tmp_path, 2)
    assert _load(tmp_path)["step"] == 1


def test_a_file_that_would_run_code_is_not_loaded(tmp_path, caplog):
    _save(tmp_path, 1)
    save_checkpoint(tmp_path, 2, {"step": print})
    assert _load(tmp_path)["step"] == 1
    assert "cannot be read" in caplog.text
