import base64
import io
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataset.raw.conversion import PictureConversion
from maskloop.errors import PictureError
from maskloop.masks import rle_from_coco
from models.pyfunc import PicturesToInstances, _load_pyfunc
from tests.fakes.field_pictures import deep_png


def _png(side_px=48):
    picture = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def model(artifact):
    return _load_pyfunc(str(artifact[0]))


def test_bytes_and_base64_give_the_same_instances(model):
    table = pd.DataFrame({"image": [_png(), base64.b64encode(_png()).decode()]}, index=[7, 9])
    answer = model.predict(table, params={"min_score": 0.0})
    assert list(answer.index) == [7, 9]
    assert list(answer["error"]) == ["", ""]
    first, second = (json.loads(text) for text in answer["instances"])
    assert first == second
    assert set(first[0]) == {"class_name", "score", "box_xyxy", "segmentation"}
    assert first[0]["class_name"] in ("square", "disc")
    rle_from_coco(first[0]["segmentation"], 48, 48)


def test_pictures_are_converted_as_the_model_s_data_were(artifact):
    seen = []

    class Remembering:
        class_names, score_threshold = ("square", "disc"), 0.5
        conversion = PictureConversion((0.0, 4096.0))

        def predict(self, pictures, *, min_score=None):
            seen.extend(pictures)
            raise PictureError("it has seen enough")

    twelve = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    remembering: Any = Remembering()
    PicturesToInstances(remembering).predict(pd.DataFrame({"image": [deep_png(twelve)]}))
    assert np.array_equal(seen[0][:, :, 0], twelve >> 4)


def test_a_bad_picture_costs_its_own_row_only(model):
    answer = model.predict(pd.DataFrame({"image": [b"no picture", "%%%", 7, _png(), _png()[:60]]}))
    assert [bool(text) for text in answer["error"]] == [True, True, True, False, True]
    assert answer["instances"][0] == "[]"


def test_the_models_own_threshold_decides_unless_a_minimum_score_is_given(model):
    def scores(**params):
        (text,) = model.predict(pd.DataFrame({"image": [_png()]}), params)["instances"]
        return [one["score"] for one in json.loads(text)]

    everything = scores(min_score=0.0)
    assert min(everything) < 0.5, "the untrained model must be unsure of something"
    assert scores() == scores(min_score=None) == [score for score in everything if score >= 0.5]
    assert scores(min_score=1.0) == []


def test_the_package_needs_none_of_the_loops_other_libraries():
    code = (
        "import sys, models.training.training_loop, models.pyfunc\n"
        "print({'mlflow', 'dvc', 'evidently', 'prefect', 'pycocotools', 'pandas'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True
    )
    assert done.stdout == "set()\n"
