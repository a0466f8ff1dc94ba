"""What a process leaves of the engines it had in use: told from real ends of real processes."""

from __future__ import annotations

import faulthandler
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.engines.engine_journal import EngineJournal, EngineUse, UncleanEnd, taken_ends

USE = EngineUse("a" * 64, "b" * 16, "openvino")
_PROCESS = """
import os, resource, sys
from pathlib import Path
from flows.engines.engine_journal import EngineJournal, EngineUse

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
journal = EngineJournal(Path(sys.argv[1]))
journal.note_in_use(EngineUse("a" * 64, "b" * 16, "openvino"))
if sys.argv[2] == "stop":
    journal.close()
else:
    os.kill(os.getpid(), int(sys.argv[2]))
"""


def take(directory: Path) -> list[UncleanEnd]:
    with taken_ends(directory) as ends:
        return [*ends]


@pytest.mark.parametrize(
    ("how", "fatal_error"),
    [
        (signal.SIGSEGV, "Segmentation fault"),
        (signal.SIGABRT, "Aborted"),
        (signal.SIGKILL, ""),
        ("stop", None),
    ],
)
def test_a_real_process_leaves_a_trace_if_it_crashed_none_if_it_was_killed_and_nothing_if_it_stopped(
    tmp_path: Path, how: signal.Signals | str, fatal_error: str | None
) -> None:
    code = str(int(how)) if isinstance(how, signal.Signals) else how
    done = subprocess.run([sys.executable, "-c", _PROCESS, str(tmp_path), code], check=False)
    assert done.returncode == (-how if isinstance(how, signal.Signals) else 0)
    ends = take(tmp_path)
    expected = [] if fatal_error is None else [((USE,), fatal_error)]
    assert [(end.uses, end.fatal_error) for end in ends] == expected
    assert all(bool(end.fatal_error) == ("most recent call first" in end.trace) for end in ends)
    assert take(tmp_path) == []


def test_what_a_living_process_has_in_use_is_left_to_it(tmp_path: Path) -> None:
    journal = EngineJournal(tmp_path, lambda _handle: lambda: None)
    journal.note_in_use(USE)
    assert take(tmp_path) == []
    journal.release()
    assert [end.uses for end in take(tmp_path)] == [(USE,)]


def test_only_engines_that_were_not_put_away_were_in_use_and_a_line_cut_off_is_passed_over(
    tmp_path: Path,
) -> None:
    journal = EngineJournal(tmp_path, lambda _handle: lambda: None)
    first = journal.note_in_use(USE)
    second = journal.note_in_use(EngineUse("c" * 64, "d" * 16, "onnx"))
    journal.note_proven(second)
    journal.note_put_away(first)
    (file,) = tmp_path.glob("*.in-use")
    journal.release()
    file.write_text(file.read_text() + '{"use":3,"event":"in u')
    assert [end.uses for end in take(tmp_path)] == [(EngineUse("c" * 64, "d" * 16, "onnx", is_proven=True),)]


def test_a_clean_stop_gives_fatal_signals_back_to_who_had_them_before(tmp_path: Path) -> None:
    before = faulthandler.is_enabled()
    undone: list[int] = []
    journal = EngineJournal(tmp_path, lambda handle: lambda: undone.append(handle))
    journal.note_in_use(USE)
    journal.close()
    journal.close()
    assert len(undone) == 1
    assert faulthandler.is_enabled() == before
    assert not list(tmp_path.glob("*.in-use"))
