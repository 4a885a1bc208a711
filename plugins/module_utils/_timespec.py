# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time as Docker's filters take them: a duration back from now, a date and time, seconds since 1970.

Source: the filter ``until`` in the reference of ``docker network prune``; durations as Go's time.ParseDuration.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Callable

# Go takes the micro sign and the Greek letter, which look the same.
UNITS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
PART = rf"([0-9]+\.?[0-9]*|\.[0-9]+)({'|'.join(UNITS)})"
DURATION = re.compile(rf"(?:{PART})+")
UNIX = re.compile(r"[0-9]{1,11}(\.[0-9]{1,9})?")
MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(\.[0-9]{1,9})?)?)?)?"
    r"(Z|[+-](?:[01][0-9]|2[0-4]):[0-5][0-9])?"
)

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def is_point_in_time(text: str) -> bool:
    return point_in_time(text, EPOCH, lambda local: local.replace(tzinfo=timezone.utc)) is not None


def is_before(created: str, until: str, now: str, to_utc: Callable[[datetime], datetime]) -> bool:
    """Whether something was created before a point in time; ``created`` and ``now`` as the declared state has them."""
    limit = point_in_time(until, _recorded(now), to_utc)
    return limit is not None and _recorded(created) < limit


def _recorded(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def point_in_time(text: str, now: datetime, to_utc: Callable[[datetime], datetime]) -> datetime | None:
    """The moment that the text stands for, in UTC; None where it stands for none.

    ``to_utc`` says what a time without an offset means: the host's local time.
    """
    try:
        if DURATION.fullmatch(text):
            return now - timedelta(seconds=sum(float(number) * UNITS[unit] for number, unit in re.findall(PART, text)))
        if UNIX.fullmatch(text):
            return datetime.fromtimestamp(float(text), timezone.utc)
        return _moment(text, to_utc)
    except (ValueError, OverflowError):
        return None


def _moment(text: str, to_utc: Callable[[datetime], datetime]) -> datetime | None:
    match = MOMENT.fullmatch(text)
    if match is None:
        return None
    date, hour, minute, second, fraction, offset = match.groups()
    found = datetime.strptime(f"{date} {hour or 0}:{minute or 0}:{second or 0}", "%Y-%m-%d %H:%M:%S")
    found += timedelta(seconds=float(fraction or 0))
    if offset is None:
        return to_utc(found)
    found = found.replace(tzinfo=timezone.utc)
    if offset == "Z":
        return found
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    distance = timedelta(hours=hours, minutes=minutes)
    return found - distance if offset[0] == "+" else found + distance
