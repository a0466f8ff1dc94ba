"""How the command line shows itself: what to begin with, the rest by purpose, and what an exit code means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from maskloop.errors import EXIT_CODES, INTERRUPTED, StoppedError

GROUPS: Final = {
    "To begin with": ("init", "ingest", "train", "approve", "up"),
    "Look": ("status", "history", "lineage", "report"),
    "Train": ("retrain", "distil", "judge", "reconcile", "abandon"),
    "Decide what serves": ("reject", "promote", "rollback", "rollout"),
    "Production": ("serve", "predict", "monitor", "feedback", "keys"),
    "Data and models": ("data", "export", "benchmark"),
    "Try it": ("demo",),
}
_NO_LIMIT: Final = 1000


class CommandGroup(click.Group):
    """Shows the whole first sentence of each command; click alone cuts it off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands."""
        self.write_section("Commands", self.list_commands(ctx), formatter)

    def write_section(self, title: str, names: Sequence[str], formatter: click.HelpFormatter) -> None:
        """List those of the named commands that there are."""
        found = [(name, self.commands[name]) for name in names if name in self.commands]
        rows = [(name, command.get_short_help_str(_NO_LIMIT)) for name, command in found]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


class CommandLine(CommandGroup):
    """Shows commands by purpose, and says what holds after a Ctrl-C; click alone says "Aborted!"."""

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
        """List the commands by purpose, each with its whole first sentence."""
        named = {name for group in GROUPS.values() for name in group}
        others = tuple(name for name in self.list_commands(ctx) if name not in named)
        for title, names in {**GROUPS, "Others": others}.items():
            self.write_section(title, names, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])
