import sys

import pytest

from maskloop.errors import ConfigurationError
from models.cluster.versions import (
    describe_programs,
    refuse_other_programs,
    refuse_unseen_files,
    refuse_without_ray,
    refuse_without_search,
)
from models.loading.request import TrainingRequest


def test_the_programs_of_this_host_are_those_of_this_host():
    own = describe_programs()
    assert {"maskloop", "numpy", "python", "ray", "torch", "torchvision"} == own.keys()
    refuse_other_programs(own, [("here", own), ("there", dict(own))])


def test_a_host_with_another_torch_is_named_with_both_versions():
    asked = {"maskloop": "abc", "torch": "2.15.0"}
    with pytest.raises(ConfigurationError, match=r"torch 2\.14\.1 instead of 2\.15\.0") as raised:
        refuse_other_programs(asked, [("here", asked), ("there", {**asked, "torch": "2.14.1"})])
    assert raised.value.where == "there"


def test_a_host_that_lacks_a_package_is_refused():
    with pytest.raises(ConfigurationError, match="torch missing instead of"):
        refuse_other_programs({"torch": "2.15.0"}, [("there", {})])


@pytest.mark.parametrize("missing", ["pictures", "checkpoints"])
def test_a_host_that_does_not_see_the_workspace_is_refused_with_the_folder(shapes, tmp_path, missing):
    folders = {"pictures": tmp_path / "data", "checkpoints": tmp_path / "run"}
    for name, folder in folders.items():
        if name != missing:
            folder.mkdir()
    dataset = type(shapes.make_dataset())(**{**vars(shapes.make_dataset()), "root": folders["pictures"]})
    request = TrainingRequest(dataset, shapes.tiny_settings(), folders["checkpoints"], 1, 0.1)
    with pytest.raises(ConfigurationError, match="does not see the workspace") as raised:
        refuse_unseen_files(request)
    assert raised.value.where == str(folders[missing])


def test_without_ray_several_workers_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match="needs Ray") as raised:
        refuse_without_ray()
    assert "maskloop[cluster]" in raised.value.hint


def test_without_optuna_a_search_names_it_and_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigurationError, match="a search over settings needs Optuna") as raised:
        refuse_without_search()
    assert "pip install 'maskloop[cluster]'" in raised.value.hint
