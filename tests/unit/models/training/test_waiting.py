from models.training.waiting import WaitMeter


class FakeClock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def test_only_the_time_until_an_item_comes_is_waiting(monkeypatch):
    clock, meter, waits_s = FakeClock(), WaitMeter(), []
    monkeypatch.setattr("models.training.waiting.time.perf_counter", clock)

    def slow():
        for seconds in (3.0, 1.0):
            clock.now_s += seconds
            yield seconds

    for _ in meter.watch(slow()):
        waits_s.append(meter.last_s)
        clock.now_s += 9.0  # the step's own work
    assert waits_s == [3.0, 1.0]
    assert meter.share_percent(9.0) == 10.0


def test_what_was_begun_is_ended_when_nobody_wants_more():
    ended = []

    def items():
        try:
            yield from range(5)
        finally:
            ended.append(True)

    for _ in WaitMeter().watch(items()):
        break
    assert ended == [True]
