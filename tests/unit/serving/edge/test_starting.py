"""A bundle checks itself, installs itself, and goes back to the one before."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from serving.edge.starting import MANIFEST_FILE, BundleError, install, main, rollback, verify

FILES = {"__main__.py": b"print('hello')\n", "export/scan.bin": b"weights", "code/a.py": b"x = 1\n"}


def make_zip(folder: Path, version: str, **changes) -> Path:
    """Return a zip that is a bundle, unless a change of its manifest says otherwise."""
    files = {**FILES, "export/version": version.encode()}
    manifest = {
        "schema_version": 1,
        "version": version,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        **changes,
    }
    target = folder / f"{version}.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(MANIFEST_FILE, json.dumps(manifest))
    return target


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def served(home: Path) -> str:
    return (home / "current" / "export/version").read_text()


def test_a_zip_and_what_was_installed_from_it_have_one_digest(tmp_path, home):
    bundle = make_zip(tmp_path, "7")
    said = install(bundle, home)
    digest, manifest = verify(bundle)
    assert "version 7" in said
    assert digest[:16] in said
    assert verify(home / "current")[0] == digest
    assert manifest["version"] == "7"
    assert (home / "current" / "code/a.py").read_bytes() == FILES["code/a.py"]


def test_the_one_before_is_kept_and_is_current_again_after_a_rollback(tmp_path, home):
    for version in ("1", "2", "3"):
        install(make_zip(tmp_path, version), home)
    assert served(home) == "3"
    assert len([one for one in home.iterdir() if one.is_dir() and not one.is_symlink()]) == 2
    assert "version 2" in rollback(home)
    assert served(home) == "2"
    rollback(home)
    assert served(home) == "3"


def test_installing_the_same_again_changes_nothing(tmp_path, home):
    install(make_zip(tmp_path, "1"), home)
    install(make_zip(tmp_path, "2"), home)
    assert "already" in install(make_zip(tmp_path, "2"), home)
    rollback(home)
    assert served(home) == "1"


def test_without_a_bundle_before_there_is_nothing_to_go_back_to(tmp_path, home):
    install(make_zip(tmp_path, "1"), home)
    with pytest.raises(BundleError, match="no bundle before"):
        rollback(home)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "export/scan.bin").write_bytes(b"Weights"), "scan.bin was changed"),
        (lambda folder: (folder / "export/scan.bin").unlink(), "scan.bin is missing"),
        (lambda folder: (folder / "code/b.py").write_text("x"), "code/b.py does not belong to it"),
        (lambda folder: (folder / MANIFEST_FILE).write_text("{"), "cannot be read"),
        (lambda folder: (folder / MANIFEST_FILE).unlink(), "is missing"),
        (lambda folder: (folder / MANIFEST_FILE).write_text('{"files": {"../x": "0"}}'), "cannot be read"),
    ],
)
def test_a_damaged_bundle_says_what_is_wrong_and_does_not_serve(tmp_path, home, damage, said, capsys):
    install(make_zip(tmp_path, "1"), home)
    folder = (home / "current").resolve()
    damage(folder)
    assert main(["serve", "--state", str(tmp_path)], here=folder) in (76, 66)
    assert said in capsys.readouterr().err


def test_compiled_code_that_python_lays_beside_it_is_no_damage(tmp_path, home):
    install(make_zip(tmp_path, "1"), home)
    (home / "current/code/__pycache__").mkdir()
    (home / "current/code/__pycache__/a.pyc").write_bytes(b"compiled")
    verify(home / "current")  # raises BundleError at damage
    assert served(home) == "1"


def test_a_damaged_zip_is_not_installed_and_what_serves_stays(tmp_path, home):
    install(make_zip(tmp_path, "1"), home)
    bundle = make_zip(tmp_path, "2")
    bundle.write_bytes(bundle.read_bytes()[:-30])
    with pytest.raises(BundleError):
        install(bundle, home)
    with pytest.raises(BundleError, match="was changed"):
        install(make_zip(tmp_path, "3", files=dict.fromkeys([*FILES, "export/version"], "0" * 64)), home)
    assert served(home) == "1"


def test_another_bundle_than_was_announced_is_refused(tmp_path, home):
    bundle = make_zip(tmp_path, "1")
    with pytest.raises(BundleError, match="another bundle"):
        install(bundle, home, expected_digest="f" * 64)
    assert install(bundle, home, expected_digest=verify(bundle)[0])


def test_a_bundle_of_a_newer_maskloop_is_refused_in_words(tmp_path, home):
    with pytest.raises(BundleError, match="newer version"):
        install(make_zip(tmp_path, "1", schema_version=2), home)


def test_an_installation_that_was_killed_is_finished_by_the_next_one(tmp_path, home):
    bundle = make_zip(tmp_path, "1")
    digest = verify(bundle)[0]
    (home / digest[:16]).mkdir(parents=True)
    (home / digest[:16] / "__main__.py").write_bytes(b"half")
    (home / f".{digest[:16]}.1234").mkdir()
    install(bundle, home)
    verify(home / "current")
    assert not (home / f".{digest[:16]}.1234").exists()


def test_a_zip_says_that_it_has_to_be_installed_first(tmp_path, capsys):
    assert main(["serve", "--state", "x"], here=make_zip(tmp_path, "1")) == 78
    assert "install" in capsys.readouterr().err


def test_what_is_no_bundle_is_named(tmp_path, capsys):
    assert main(["verify"], here=tmp_path / "nothing") == 76
    assert main(["install", str(tmp_path / "home")], here=tmp_path) == 66
    assert "no bundle" in capsys.readouterr().err
