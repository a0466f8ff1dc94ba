"""One error family: what happened, where, and what to do, with an exit code a scheduler understands."""

from __future__ import annotations


class MaskloopError(Exception):
    """Base of every error maskloop raises on purpose.

    Args:
        headline: What happened, one plain sentence without a trailing full stop.
        where: The file, setting, version or URL it happened at.
        hint: What the reader can do about it.

    >>> print(DataError("the annotation file is empty", where="a.json", hint="export it again"))
    the annotation file is empty (a.json). Export it again
    """

    exit_code = 1
    """Follows sysexits(3), so that 75 (and only 75) says: try again later."""
    is_retryable = False

    def __init__(self, headline: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(headline)
        self.headline, self.where, self.hint = headline, where, hint

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return (
            f"{self.headline}{place}. {_as_sentence(self.hint)}" if self.hint else f"{self.headline}{place}"
        )


class DataError(MaskloopError):
    """The data set cannot be used as it is."""

    exit_code = 65


class MaskError(DataError):
    """One mask was refused before it could reach native code."""


class PictureError(DataError):
    """One picture was refused or could not be decoded."""


class NotFoundError(MaskloopError):
    """A named version, run, sample or file does not exist."""

    exit_code = 66


class UnavailableError(MaskloopError):
    """A server or a lock did not answer in time; the same command may succeed later."""

    exit_code = 75
    is_retryable = True


class BusyError(UnavailableError):
    """Another process is doing it already."""


class OverloadedError(UnavailableError):
    """More was asked for than can be answered in time.

    Args:
        retry_after_s: When it is worth trying again.
    """

    def __init__(self, headline: str, *, retry_after_s: float) -> None:
        super().__init__(headline, hint=f"try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class DeadlineError(UnavailableError):
    """An answer was not ready in time."""


class StoppedError(MaskloopError):
    """This process was asked to stop; what it had done is kept, and the same command goes on from there.

    Ends with what a shell makes of a program that the signal has ended, 128 + its number: 130 for Ctrl-C
    (SIGINT), 143 for SIGTERM.
    """

    exit_code = 130


class TrainingError(MaskloopError):
    """Training stopped: a loss was not finite, or nothing could be learned from."""

    exit_code = 70


class ExportError(MaskloopError):
    """An exporter cannot do it, and says why."""


class StorageError(MaskloopError):
    """Something could not be written or read completely, for example because the disk is full."""

    exit_code = 74


class AccessError(StorageError):
    """The operating system does not let this user read or write it."""

    exit_code = 77


class IntegrityError(MaskloopError):
    """Bytes do not match the digest that was recorded for them."""

    exit_code = 76


class RefusedError(MaskloopError):
    """A rule forbids this: not blessed, not approved, expired, or somebody else holds it."""

    exit_code = 77


class UnauthorisedError(MaskloopError):
    """No API key, or one that is not valid."""

    exit_code = 77


class ForbiddenError(MaskloopError):
    """A valid API key that may not do this."""

    exit_code = 77


class ConfigurationError(MaskloopError):
    """`maskloop.toml` or the environment is wrong."""

    exit_code = 78


def _as_sentence(hint: str) -> str:
    """Begin with a capital, unless the first word is a setting, a command or a path, which stay as they are.

    >>> [_as_sentence(hint) for hint in ("export it again", "serving.host is where", "`maskloop up` runs it")]
    ['Export it again', 'serving.host is where', '`maskloop up` runs it']
    """
    first = hint.partition(" ")[0].rstrip(",:;")
    return hint[:1].upper() + hint[1:] if first.isalpha() else hint


EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "an unexpected error, or a check that did not pass",
    2: "the command line is wrong",
    65: "the data cannot be used as it is",
    66: "a named version, run, sample or file does not exist",
    70: "training stopped",
    74: "something could not be stored or read completely (disk full?)",
    75: "a server or lock did not answer, or a cycle is still open; the same command may succeed later",
    76: "bytes do not match their recorded digest",
    77: "a rule, or the permissions of a file, forbid it",
    78: "maskloop.toml or the environment is wrong",
    130: "stopped by Ctrl-C",
    143: "stopped by SIGTERM",
}
INTERRUPTED = 130
"""What a shell makes of a program that SIGINT has ended."""
