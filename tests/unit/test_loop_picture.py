"""The picture of the loop: no text leaves its box."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "loop.svg"
SVG = "{http://www.w3.org/2000/svg}"
WIDEST_LETTER_SHARE = 0.58
"""Of the font's size: the mean width of a letter in a wide face; bold ones are a tenth wider."""


def test_every_text_lies_within_one_box() -> None:
    root = ElementTree.parse(PICTURE).getroot()
    boxes = [
        tuple(float(rect.get(side, "0")) for side in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
        if rect.get("x")
    ]
    texts = []
    for group in root.iter(f"{SVG}g"):
        size = float(group.get("font-size", "15"))
        bold = 1.1 if group.get("font-weight") else 1.0
        texts += [(text, size, bold) for text in group.findall(f"{SVG}text")]
    assert len(texts) == len(list(root.iter(f"{SVG}text"))) >= 20
    for text, size, bold in texts:
        middle, base = float(text.get("x", "0")), float(text.get("y", "0"))
        half = len(text.text or "") * size * WIDEST_LETTER_SHARE * bold / 2
        assert any(
            x + 2 <= middle - half
            and middle + half <= x + width - 2
            and y < base - size
            and base < y + height - 3
            for x, y, width, height in boxes
        ), text.text
