from maskloop.pages.class_colours import class_colour


def test_class_colours_differ_and_stay_when_classes_are_added():
    colours = [class_colour(index) for index in range(20)]
    assert len(set(colours)) == 20
    assert colours[0] == (255, 64, 38)
