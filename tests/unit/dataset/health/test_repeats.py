"""Objects labelled twice."""

from dataset.health.repeats import find_labelled_twice

A = (0, 0, 10, 10)
NEARLY_A = (0, 0, 10, 9)
HALF_OF_A = (0, 0, 5, 10)


def test_two_masks_over_nearly_the_same_pixels_are_one_object_labelled_twice(labelled):
    (pair,) = find_labelled_twice([labelled("a", (0, A), (0, HALF_OF_A), (0, NEARLY_A))])
    assert (pair.picture.digest, pair.labels, pair.iou) == ("a", (0, 2), 0.9)


def test_labels_of_two_classes_on_one_object_count_as_well(labelled):
    (pair,) = find_labelled_twice([labelled("a", (0, A), (1, A))])
    assert (pair.labels, pair.iou) == ((0, 1), 1.0)


def test_the_largest_overlap_comes_first_and_pictures_are_not_mixed(labelled):
    pictures = [labelled("a", (0, A), (0, NEARLY_A)), labelled("b", (0, A), (0, A)), labelled("c", (0, A))]
    assert [pair.picture.digest for pair in find_labelled_twice(pictures)] == ["b", "a"]


def test_an_object_in_a_crowd_region_is_not_labelled_twice(labelled):
    assert find_labelled_twice([labelled("a", (0, A), (0, A, True)), labelled("empty")]) == ()
