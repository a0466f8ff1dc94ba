"""Records and files carry a ``schema_version``; what a newer maskloop wrote is refused, never guessed at."""

from __future__ import annotations

from maskloop.errors import ConfigurationError


def refuse_newer(found: int, known: int, *, what: str, where: str) -> None:
    """Refuse what a newer maskloop has written.

    Args:
        found: The version it was written in.
        known: The newest version this maskloop reads.
        what: What it is, such as ``the sample log``.
        where: The file, or the database without its password.

    Raises:
        ConfigurationError: if ``found`` is above ``known``.
    """
    if found > known:
        raise ConfigurationError(
            f"a newer maskloop has written {what}: it has version {found}, this one reads up to {known}",
            where=where,
            hint="Upgrade maskloop here too, or bring back a backup from before that upgrade",
        )
