"""Groups of commands. A table names every command and its module, which is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from maskloop.errors import EXIT_CODES, INTERRUPTED, StoppedError

_NO_LIMIT = 1000


@dataclass(frozen=True)
class Row:
    """One command in the table of a group.

    Attributes:
        name: As it is typed.
        path: Where the command is: `module:attribute`.
        help: The first sentence of its help, which lists show without importing the module.
    """

    name: str
    path: str
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.path.partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, click.Command):
            raise TypeError(f"{self.path} is not a command")
        return found


class CommandGroup(click.Group):
    """A group whose commands are imported when they are used; its help shows the first sentence of each."""

    def __init__(self, name: str, table: Sequence[Row | CommandGroup], **attributes: Any) -> None:
        self.table = {row.name or "": row for row in table}
        super().__init__(name, commands=_Commands(self.table), **attributes)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands."""
        self.write_section("Commands", self.list_commands(ctx), formatter)

    def write_section(self, title: str, names: Sequence[str], formatter: click.HelpFormatter) -> None:
        """List commands, each with its whole first sentence; click alone cuts it off."""
        with formatter.section(title):
            formatter.write_dl([(name, first_sentence(self.table[name])) for name in names])


class CommandLine(CommandGroup):
    """The top group: it shows commands by purpose, and says what holds after a Ctrl-C."""

    def __init__(
        self, name: str, sections: Mapping[str, Sequence[Row | CommandGroup]], **attributes: Any
    ) -> None:
        super().__init__(name, [row for rows in sections.values() for row in rows], **attributes)
        self.sections = sections

    def invoke(self, ctx: click.Context) -> None:
        """Run a command. What was stopped ends with a sentence and the signal's exit code."""
        try:
            super().invoke(ctx)
            return
        except KeyboardInterrupt:
            said = " by Ctrl-C. Nothing that was recorded is lost"
            again = "Run the same command again to finish it"
            exit_code = INTERRUPTED
        except StoppedError as error:
            said, again = f": {error.headline}", "The same command, run again, goes on from there"
            exit_code = error.exit_code
        if ctx.invoked_subcommand == "demo":
            again = "The same command, run again, begins anew"
        click.echo(f"\nStopped{said}. {again}.", err=True)
        ctx.exit(exit_code)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by purpose."""
        for title, rows in self.sections.items():
            self.write_section(title, [row.name or "" for row in rows], formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


def first_sentence(command: Row | click.Command) -> str:
    """Return what a list of commands says about one."""
    return command.help if isinstance(command, Row) else command.get_short_help_str(_NO_LIMIT)


class _Commands(MutableMapping[str, click.Command]):
    """Commands by name; each is imported when it is looked up."""

    def __init__(self, table: Mapping[str, Row | CommandGroup]) -> None:
        self._rows: dict[str, Row | click.Command] = dict(table)

    def __getitem__(self, name: str) -> click.Command:
        row = self._rows[name]
        return row.load() if isinstance(row, Row) else row

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._rows[name] = command

    def __delitem__(self, name: str) -> None:
        del self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
