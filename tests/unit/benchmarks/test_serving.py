"""The load test itself: it must see a wrong answer, a lost one, a broken connection and a leak."""

import asyncio
import json
import time
from itertools import pairwise

import pytest

from benchmarks.serving.checking import Expected, canonical, count_wrong
from benchmarks.serving.client import Sender
from benchmarks.serving.plans import Plan, Seen, Sent
from benchmarks.serving.processes import MemoryWatch
from benchmarks.serving.report import to_markdown
from benchmarks.serving.saturation import describe_added

BOLT = {
    "class_name": "bolt",
    "score": 0.9,
    "box_xyxy": [1.0, 2.0, 3.0, 4.0],
    "mask": {"size": [8, 8], "counts": "0"},
}
NUT = {**BOLT, "class_name": "nut"}


def sent(*, status=200, body="", done_s=1.0, attempts=1):
    return Sent(0, 0.5, done_s, status, attempts, "", body)


def answer(version, *instances):
    return sent(body=json.dumps({"model": {"version": version}, "instances": instances}))


@pytest.fixture
def expected():
    return Expected({"1": [frozenset([canonical([BOLT])])], "2": [frozenset([canonical([NUT])])]}, 0, 0)


def test_an_answer_is_right_only_for_the_version_it_names(expected):
    answers = [answer("1", BOLT), answer("2", BOLT), answer("2", NUT), answer("3", BOLT), answer("1")]
    wrong, versions = count_wrong(answers, expected)
    assert wrong == 3
    assert versions == {"1": 2, "2": 2, "3": 1}


def test_a_last_digit_makes_an_answer_wrong(expected):
    assert not expected.is_right("1", 0, [{**BOLT, "score": 0.9001}])
    assert not expected.is_right("1", 0, [BOLT, BOLT])


def test_time_counts_from_when_a_request_was_due_and_only_answers_count():
    plan = Plan(1, "/", "", seconds=2.0)
    seen = Seen(plan, 0.0, [sent(), sent(done_s=1.5), sent(done_s=9.0), sent(status=503), sent(status=0)])
    assert seen.per_second() == 1.0  # two in two seconds; the third came after the end
    assert seen.ms(50) == 1000.0


def test_what_is_added_to_a_picture_is_told_from_the_bare_turn_beside_it():
    """In the second pair the machine was 4 ms slower, for both alike."""
    bare = [
        {"p50_ms": 15.0, "ms_by_picture": {"0": 10.0, "1": 20.0}},
        {"p50_ms": 19.0, "ms_by_picture": {"0": 14.0, "1": 24.0}},
    ]
    turns = [
        seen_turn((0, 11.5), (1, 21.5), (1, 29.0), (2, 500.0)),  # the bare model has not seen number 2
        seen_turn((0, 16.5), (1, 26.5)),
    ]
    told = describe_added(turns, bare)
    assert told["added_by_turn_ms"] == {"median": 2.0, "low": 1.75, "high": 2.25}
    assert (told["bare_p50_ms"], told["service_p50_ms"], told["added_p50_ms"]) == (17.0, 23.38, 6.38)
    assert told["stages_p50_ms"] == {"decode": 1.0, "model": 9.0, "everything else": 14.0}


def seen_turn(*answered):
    body = json.dumps({"timings_ms": {"decode": 1.0, "model": 9.0}})
    requests = [Sent(picture, 0.0, ms / 1000, 200, 1, "", body) for picture, ms in answered]
    return Seen(Plan(1, "/", "", seconds=1.0), 0.0, requests)


async def read_head(reader):
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def run_against(replies, pictures, **plan):
    """Serve the replies by turns, the last one for ever; None breaks a connection. Returns both sides."""
    heard, handlers = [], []

    async def serve(reader, writer):
        task = asyncio.current_task()
        assert task is not None
        handlers.append(task)
        while head := await read_head(reader):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            heard.append((head, await reader.readexactly(length)))
            reply = replies[min(len(heard), len(replies)) - 1]
            if reply is None:
                break
            writer.write(b"HTTP/1.1 %s\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}" % reply)
        writer.close()
        await writer.wait_closed()

    async def both():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sender = Sender(Plan(port, "/v1/predict", str(pictures), **{"seconds": 0.0, **plan}))
        await (sender.open_loop() if plan.get("rate") else sender.send(0, time.monotonic()))
        sender.close()
        server.close()
        await asyncio.gather(*handlers)
        return sender.requests

    return asyncio.run(both()), heard


@pytest.fixture
def pictures(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def request_id(head):
    return head.split(b"X-Request-Id: ")[1].split(b"\r\n")[0]


def test_a_broken_connection_is_tried_again_under_the_same_id(pictures):
    requests, heard = run_against([None, b"200 OK"], pictures, attempts=2)
    assert [(one.status, one.attempts) for one in requests] == [(200, 2)]
    assert request_id(heard[0][0]) == request_id(heard[1][0])


def test_a_request_without_an_answer_after_the_last_attempt_is_lost(pictures):
    requests, heard = run_against([None], pictures, attempts=2)
    assert [(one.status, one.attempts) for one in requests] == [(0, 2)]
    assert len(heard) == 2
    assert requests[0].trouble


def test_a_refusal_is_not_tried_again_and_keeps_what_it_said(pictures):
    requests, heard = run_against([b"503 Busy"], pictures, attempts=3)
    assert [(one.status, one.retry_after, one.attempts) for one in requests] == [(503, "3", 1)]
    assert len(heard) == 1


def test_an_open_loop_sends_by_the_clock_each_picture_in_turn(pictures):
    requests, heard = run_against([b"200 OK"], pictures, rate=50.0, seconds=0.1)
    assert sorted(body for _, body in heard) == [b"a.png"] * 3 + [b"b.png"] * 2
    due = sorted(one.due_s for one in requests)
    assert [round(late - early, 6) for early, late in pairwise(due)] == [0.02] * 4


def test_memory_that_grows_is_seen():
    watch = MemoryWatch(list, every_s=1.0)
    watch.samples = [(float(second), pid, 100.0 + second) for second in range(60) for pid in (1, 2)]
    described = watch.describe(0.0, 60.0)
    assert described["slope_mb_per_minute"] == pytest.approx(120.0)
    assert (described["first_mb"], described["last_mb"]) == (200.0, 318.0)


def test_what_could_not_be_run_has_a_row_that_says_why():
    rows = [
        {"name": "ours", "per_second": 20.0, "left_after_stop": []},
        {"name": "theirs", "problem": "no\nwheel"},
    ]
    table = to_markdown({"servers": {"rows": rows, "machine": {"cpus": 2}}})
    assert "| ours | 20.0 | 0 |  |" in table
    assert "| theirs |  |  | no wheel |" in table
