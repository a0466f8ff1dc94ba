import numpy as np

from maskloop.records.kinds import ChosenPicture, LabelsRequested
from monitoring.pages.request_page import PARTS, ShownPicture, write_request_page

PIXELS = np.full((40, 60, 3), 128, np.uint8)


def chosen(name, *, is_random=False, reason="it is dark"):
    parts = dict.fromkeys(PARTS, 0.5)
    return ChosenPicture(
        sample_id=name,
        picture_digest=name,
        source="belt <2>",
        reason=reason,
        is_random=is_random,
        parts=parts,
    )


def page_of(tmp_path, *pictures, shown=None):
    record = LabelsRequested(request_id="abc", cause="drift: darker", chosen=pictures)
    file = tmp_path / "labels" / "index.html"
    pictures = pictures if shown is None else shown
    write_request_page(file, record, [ShownPicture(one, PIXELS) for one in pictures], model_version="3")
    return file.read_text()


def test_each_picture_comes_with_its_reason_and_the_terms_of_its_score(tmp_path):
    page = page_of(tmp_path, chosen("a"), chosen("b", is_random=True, reason="by chance"))
    assert page.count("data:image/jpeg;base64") == 2
    assert page.count("it is dark.") == page.count("by chance.") == 1
    assert page.count('class="picture random"') == 1
    assert page.count("width: 50%") == 2 * len(PARTS)
    assert "Cause: drift: darker." in page


def test_what_others_wrote_is_escaped(tmp_path):
    assert "belt &lt;2&gt;" in page_of(tmp_path, chosen("a"))


def test_pictures_that_are_gone_are_counted(tmp_path):
    one, other = chosen("a"), chosen("b")
    assert "1 of the pictures are not kept any more" in page_of(tmp_path, one, other, shown=[one])


def test_ranked_pictures_come_before_those_at_random_and_keep_their_rank_when_others_are_gone(tmp_path):
    lucky, first, second = chosen("a", is_random=True), chosen("b"), chosen("c")
    page = page_of(tmp_path, lucky, first, second, shown=[lucky, second])
    assert page.index("No. 2") < page.index("<b>Random</b>")
    assert "No. 1" not in page
