"""Commands and groups of them. What a command does is imported when it runs, never for its help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from maskloop.errors import EXIT_CODES, INTERRUPTED, StoppedError

_NO_LIMIT = 1000
_WORKSPACE = click.Option(
    ["--workspace", "-w", "root"],
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    show_default=True,
    envvar="MASKLOOP_WORKSPACE",
    help="The workspace's folder.",
)
_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Answer in JSON.")


@dataclass(frozen=True)
class Work:
    """What a command does: a function, imported when it is called.

    Attributes:
        path: Where the function is: `module:attribute`.
    """

    path: str

    def load(self) -> Callable[..., None]:
        """Import the function."""
        module, _, attribute = self.path.partition(":")
        function: Callable[..., None] = getattr(import_module(module), attribute)
        return function

    def __call__(self, **options: Any) -> None:
        """Do it."""
        self.load()(**options)


def make_command(
    name: str, path: str, help: str, *parameters: click.Parameter, takes_workspace: bool = True
) -> click.Command:
    """Make a command that can answer in JSON.

    Args:
        name: As it is typed.
        path: Where its function is: `module:attribute`. It is called with every parameter by name, with
            `as_json` and, if the command takes a workspace, with `root`. `flows.console.output.with_output`
            turns `as_json` into an `Output`.
        help: Its help; lists of commands show the first sentence.
        parameters: Its own arguments and options, in the order of its help.
        takes_workspace: Whether ``--workspace`` names the folder it works in.
    """
    shared = [_WORKSPACE, _JSON] if takes_workspace else [_JSON]
    return click.Command(name, params=[*shared, *parameters], help=help, callback=Work(path))


class CommandGroup(click.Group):
    """A group whose help shows the whole first sentence of each command; click alone cuts it off.

    Args:
        name: As it is typed.
        commands: In the order of its help.
        default: The command that is meant when none is named; empty: the group shows its help.
        attributes: Of click's group.
    """

    def __init__(
        self, name: str, commands: Sequence[click.Command], *, default: str = "", **attributes: Any
    ) -> None:
        super().__init__(name, commands, **attributes)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the arguments, and name the default command before its options."""
        names_none = not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        return super().parse_args(ctx, [self.default, *args] if self.default and names_none else args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands."""
        self.write_section("Commands", list(self.commands.values()), formatter)

    def write_section(
        self, title: str, commands: Sequence[click.Command], formatter: click.HelpFormatter
    ) -> None:
        """List commands, each with its first sentence."""
        with formatter.section(title):
            formatter.write_dl([(command.name or "", first_sentence(command)) for command in commands])


class CommandLine(CommandGroup):
    """The top group: it shows commands by purpose, and says what holds after a Ctrl-C."""

    def __init__(self, name: str, sections: Mapping[str, Sequence[click.Command]], **attributes: Any) -> None:
        super().__init__(name, [one for commands in sections.values() for one in commands], **attributes)
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
        for title, commands in self.sections.items():
            self.write_section(title, commands, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


def first_sentence(command: click.Command) -> str:
    """Return what a list of commands says about one."""
    return command.get_short_help_str(_NO_LIMIT)
