"""Options that several commands share."""

from __future__ import annotations

from typing import Final

import click

WHY: Final = click.Option(["--why"], default="", help="The reason, for the record.")
WHY_REQUIRED: Final = click.Option(["--why"], required=True, help="The reason, for the record.")


def by(does: str) -> click.Option:
    """Return the option that names a person.

    Args:
        does: What that person does, such as "approves".
    """
    return click.Option(["--by"], default="", help=f"Who {does}. Default: the user's name.")
