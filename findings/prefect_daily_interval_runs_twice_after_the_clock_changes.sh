#!/usr/bin/env bash
# Prefect 3.8.8: with a schedule of one day (or week), an anchor and a time zone, the hour of a date depends on when it is asked
# for. Counted from before the change of clocks, the local hour is kept; counted from after it, whole days of 24 hours since the
# anchor give another hour, for half a year. The scheduler plans days ahead and then plans the same days again: for as long as
# it looks ahead there are two runs a day, an hour apart, say two trainings. A cron schedule keeps the hour.
# Expected: one answer for each date: 09:00 local time, as documented, or elapsed days.
# Seen: 30 March 2026 is 09:00 asked on the 29th and 10:00 asked on the 30th; planned three days ahead, two days have two runs.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" prefect==3.8.8 "fastapi<0.140" "sqlalchemy==2.0.54"
cd "$work"; PREFECT_HOME="$work" "$work/venv/bin/python" -W ignore - 2> said <<'PY' || { cat said; exit 1; }
import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule

BERLIN = ZoneInfo("Europe/Berlin")
anchor = datetime(2026, 1, 1, 9, tzinfo=BERLIN)
daily = IntervalSchedule(interval=timedelta(days=1), anchor_date=anchor, timezone="Europe/Berlin")
cron = CronSchedule(cron="0 9 * * *", timezone="Europe/Berlin")


async def runs_by_day(schedule):
    """The hours planned for 30 March to 1 April, by a scheduler that looks three days ahead each midnight."""
    planned = set()
    for day in (29, 30, 31):
        planned.update(await schedule.get_dates(n=3, start=datetime(2026, 3, day, 0, 30, tzinfo=BERLIN)))
    return {
        day: sorted(f"{at.astimezone(BERLIN):%H:%M}" for at in planned if f"{at.astimezone(BERLIN):%m-%d}" == day)
        for day in ("03-29", "03-30", "03-31", "04-01")
    }


by_interval, by_cron = asyncio.run(runs_by_day(daily)), asyncio.run(runs_by_day(cron))
july = asyncio.run(daily.get_dates(n=1, start=datetime(2026, 7, 1, tzinfo=BERLIN)))[0]
print("interval:", by_interval, "in July:", f"{july.astimezone(BERLIN):%H:%M}")
print("cron:    ", by_cron)
assert by_interval["03-30"] == by_interval["03-31"] == ["09:00", "10:00"], "the behaviour has changed"
assert f"{july.astimezone(BERLIN):%H:%M}" == "10:00", "the behaviour has changed"
assert set(map(tuple, by_cron.values())) == {("09:00",)}, "the behaviour has changed"
PY
