from benchmarks.tuning.__main__ import RANDOM, TPE, Line, to_markdown


def test_the_table_has_a_figure_for_each_seed_and_a_line_for_the_settings_at_the_start():
    lines = [
        Line("settings at the start", (), (), (), (0.5, 0.25), (0.4, 0.3)),
        Line(RANDOM, (8, 9), (8, 8), (720, 730), (0.51, 0.26), (0.41, 0.31)),
        Line(TPE, (15, 16), (4, 5), (720, 720), (0.6, 0.3), (0.5, 0.35)),
    ]
    _, _, start, random, tpe = to_markdown(lines).splitlines()
    assert start == "| settings at the start |  |  |  | 0.500, 0.250 | 0.400, 0.300 |"
    assert random == f"| {RANDOM} | 8, 9 | 8, 8 | 720, 730 | 0.510, 0.260 | 0.410, 0.310 |"
    assert tpe == f"| {TPE} | 15, 16 | 4, 5 | 720, 720 | 0.600, 0.300 | 0.500, 0.350 |"
