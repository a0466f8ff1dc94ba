"""Where a story reports its progress: to a terminal, to Prefect, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import JustifyMethod


class Teller(Protocol):
    """Hears what happens in a story."""

    def say(self, sentence: str) -> None:
        """Hear one sentence."""
        ...

    def progress(self, title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Hear how far a long piece of work is; the body calls ``(done, total)``."""
        ...

    def table(self, key: str, rows: Sequence[Mapping[str, Any]], title: str) -> None:
        """Hear a table."""
        ...

    def link(self, key: str, url: str, text: str) -> None:
        """Hear where more is to be seen."""
        ...


class SilentTeller:
    """Hears and says nothing."""

    def say(self, sentence: str) -> None:
        """Ignore it."""

    def progress(self, title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Ignore it."""
        return nullcontext(lambda _done, _total: None)

    def table(self, key: str, rows: Sequence[Mapping[str, Any]], title: str) -> None:
        """Ignore it."""

    def link(self, key: str, url: str, text: str) -> None:
        """Ignore it."""


class TerminalTeller:
    """Writes sentences, tables and progress bars to standard error, so that standard output stays data."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._said: list[str] = []

    def has_said(self, sentence: str) -> bool:
        """Tell whether a sentence was printed, by itself or after the name of a cycle."""
        return any(said == sentence or said.endswith(f": {sentence}") for said in self._said)

    def say(self, sentence: str) -> None:
        """Print one sentence."""
        self._said.append(sentence)
        self.console.print(sentence, markup=False)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """Show a progress bar while the body runs."""
        columns = (
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        with Progress(*columns, console=self.console, transient=True) as bars:
            bar = bars.add_task(title, total=None)
            yield lambda done, total: bars.update(bar, completed=done, total=total)

    def table(self, key: str, rows: Sequence[Mapping[str, Any]], title: str) -> None:
        """Print a table."""
        if rows:
            self.console.print(make_table(rows, title))

    def link(self, key: str, url: str, text: str) -> None:
        """Print where to look."""
        self.console.print(f"  {text}: {url}", markup=False, soft_wrap=True)


def make_table(rows: Sequence[Mapping[str, Any]], title: str) -> Any:
    """Build a rich table from rows that share their keys; numbers with three decimals, None as a dash.

    Texts are printed verbatim: rich would read the `[steel]` of a class `bolt [steel]` as markup. Words
    wider than their column are continued on the next line, so no path or code is cut off.
    """
    table = Table(title=Text(title, style="bold"), title_justify="left")
    for name, value in rows[0].items():
        justify: JustifyMethod = "right" if isinstance(value, int | float) else "left"
        table.add_column(Text(name), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(format_cell(value)) for value in row.values()))
    return table


def format_cell(value: Any) -> str:
    """Write one value for people.

    >>> format_cell(0.81234), format_cell(None), format_cell(3)
    ('0.812', '-', '3')
    """
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
