from benchmarks.distillation.__main__ import ALONE, TEACHER, Line, make_smaller, to_markdown
from benchmarks.timing import Spread
from flows.workspace.wiring import REPOSITORY
from maskloop.settings.workspace_settings import load_settings
from models.network.build import build_model


def count_weights(settings):
    model = build_model(settings.model, num_classes=4, pretrained=False)
    return sum(each.numel() for each in model.parameters())


def test_the_small_network_has_a_fraction_of_the_weights_and_the_rest_of_the_recipe():
    own = load_settings(REPOSITORY / "configs" / "demo.toml")
    smaller = make_smaller(own, steps=7, seed=3)
    assert count_weights(smaller) < count_weights(own) / 3
    assert (smaller.training.steps, smaller.training.seed) == (7, 3)
    assert smaller.training.learning_rate == own.training.learning_rate


def test_the_table_tells_the_range_over_the_seeds():
    spread = Spread(2.0, 1.5, 2.5)
    lines = [
        Line(TEACHER, 1000, (0.8,), Spread(10.0, 9.0, 11.0), Spread(1.0, 1.0, 1.0)),
        Line(ALONE, 200, (0.7, 0.72), Spread(5.0, 4.0, 6.0), spread),
    ]
    _, _, teacher, alone = to_markdown(lines).splitlines()
    assert teacher == "| champion | 1,000 | 0.800 | 10.0 | 1.00 (1.00-1.00) |"
    assert alone == "| small, labels alone | 200 | 0.710 (0.700-0.720) | 5.0 | 2.00 (1.50-2.50) |"
