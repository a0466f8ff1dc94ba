"""Reading XML of unknown origin, element by element.

A document type is refused, and with it every entity it could declare: nothing is expanded or fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from maskloop.errors import DataError

_BLOCK_BYTES: Final = 2**20
_MOST_LEVELS: Final = 50


def read_children(path: Path, *, place: Path) -> Iterator[Element]:
    """Yield the root's children, each complete, one by one; the root's own tag is not told.

    Args:
        path: Where the file lies.
        place: What messages call it.

    Raises:
        DataError: if it cannot be read, is not well-formed, declares a document type or is too deep; the
            children before that place were yielded.
    """
    parser = _Parser()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                parser.expat.Parse(block, False)
                yield from parser.take()
            parser.expat.Parse(b"", True)
            yield from parser.take()
    except expat.ExpatError as error:
        hint = "it was cut off or changed by hand: export it again"
        raise DataError(f"the file is not XML: {error}", where=str(place), hint=hint) from error
    except (ValueError, LookupError) as error:  # an encoding that nobody knows
        hint = "export the labels again from the labelling tool"
        raise DataError(f"the XML file was refused: {error}", where=str(place), hint=hint) from error
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}", where=str(place)) from error


class _Parser:
    """Collects the children of the root."""

    def __init__(self) -> None:
        self.expat = expat.ParserCreate()
        self.expat.buffer_text = True
        self.expat.StartElementHandler = self._start
        self.expat.EndElementHandler = self._end
        self.expat.CharacterDataHandler = self._text
        self.expat.StartDoctypeDeclHandler = self._refuse
        self._depth = 0
        self._builder = TreeBuilder()
        self._done: list[Element] = []

    def take(self) -> list[Element]:
        """Return the children that are complete, and forget them."""
        done, self._done = self._done, []
        return done

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MOST_LEVELS:
            raise ValueError(f"elements lie more than {_MOST_LEVELS} deep in each other")
        if self._depth == 2:
            self._builder = TreeBuilder()
        if self._depth >= 2:
            self._builder.start(tag, attributes)

    def _end(self, tag: str) -> None:
        if self._depth >= 2:
            self._builder.end(tag)
        if self._depth == 2:
            self._done.append(self._builder.close())
        self._depth -= 1

    def _text(self, text: str) -> None:
        if self._depth >= 2:
            self._builder.data(text)

    def _refuse(self, *_: object) -> None:
        raise ValueError("it declares a document type, which labels never need")
