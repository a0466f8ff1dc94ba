import numpy as np

from maskloop.masks import areas_px, decode_masks
from models.loading.preview import preview_training


def test_a_preview_is_what_the_first_steps_get(shapes, tmp_path):
    settings = shapes.tiny_settings(horizontal_flip=0.0, colour_jitter=0.0)
    request = shapes.make_request(tmp_path, settings, steps=2)
    seen = list(preview_training(request, shapes.load_picture))
    assert len(seen) == 4
    by_name = {picture.name: picture for picture in request.dataset.pictures}
    for pixels, truth in seen:
        picture = by_name[truth.picture_id]
        index = int(picture.file.removesuffix(".png"))
        np.testing.assert_array_equal(pixels, shapes.draw(index)[0])
        np.testing.assert_array_equal(decode_masks(truth.masks), shapes.draw(index)[1])
        assert truth.class_indices.tolist() == [index % 2]


def test_it_shows_what_the_settings_do(shapes, tmp_path):
    settings = shapes.tiny_settings(augmentation={"scale_range": [0.5, 0.5]})
    plain = shapes.make_request(tmp_path, shapes.tiny_settings(), steps=2)
    small = shapes.make_request(tmp_path, settings, steps=2)
    for (before, truth_before), (after, truth_after) in zip(
        preview_training(plain, shapes.load_picture),
        preview_training(small, shapes.load_picture),
        strict=True,
    ):
        assert truth_after.picture_id == truth_before.picture_id
        assert after.shape == before.shape
        assert 0.15 < areas_px(truth_after.masks)[0] / areas_px(truth_before.masks)[0] < 0.4
