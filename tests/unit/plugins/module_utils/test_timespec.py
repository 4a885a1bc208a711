# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time as Docker's filter ``until`` takes them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._timespec import (
    is_before,
    is_point_in_time,
    point_in_time,
)

NOW = datetime(2025, 6, 15, 12, 0, 0, tzinfo=timezone.utc)
NOW_AS_TEXT = "2025-06-15T12:00:00.000000Z"
# What Go's time.ParseDuration knows.
UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "\u00b5s": Fraction(1, 10**6),
    "\u03bcs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}


def two_hours_east(local: datetime) -> datetime:
    """A host's local time that is two hours ahead of UTC."""
    return (local - timedelta(hours=2)).replace(tzinfo=timezone.utc)


def moment(text: str) -> datetime | None:
    return point_in_time(text, NOW, two_hours_east)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)


# Durations.


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("24h", timedelta(hours=24)),
        ("1h30m", timedelta(minutes=90)),
        ("30m1h", timedelta(minutes=90)),
        ("1m1m", timedelta(minutes=2)),
        ("1.5h", timedelta(minutes=90)),
        (".5h", timedelta(minutes=30)),
        ("2.h", timedelta(hours=2)),
        ("1h2m3.5s", timedelta(hours=1, minutes=2, seconds=3.5)),
        ("10s", timedelta(seconds=10)),
        ("1500ms", timedelta(seconds=1.5)),
        ("1m5ms", timedelta(minutes=1, milliseconds=5)),
        ("250us", timedelta(microseconds=250)),
        ("250\u00b5s", timedelta(microseconds=250)),
        ("250\u03bcs", timedelta(microseconds=250)),
        ("3000ns", timedelta(microseconds=3)),
        ("0s", timedelta()),
        ("00001h", timedelta(hours=1)),
        ("8760h", timedelta(days=365)),
    ],
)
def test_duration_is_taken_back_from_now(text: str, back: timedelta) -> None:
    assert moment(text) == NOW - back


@given(
    st.lists(
        st.tuples(st.decimals(0, 10**6, places=3).map(lambda number: f"{number:f}"), st.sampled_from([*UNITS])),
        min_size=1,
        max_size=5,
    )
)
def test_duration_is_the_sum_of_its_parts(parts: list[tuple[str, str]]) -> None:
    found = moment("".join(number + unit for number, unit in parts))
    assert found is not None
    back = (NOW - found) // timedelta(microseconds=1)
    assert abs(back - sum(Fraction(number) * UNITS[unit] for number, unit in parts) * 10**6) <= 2


# Dates and times.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-01-31T12:00:00Z", utc(2025, 1, 31, 12)),
        ("2025-01-31T12:00:00.25Z", utc(2025, 1, 31, 12, 0, 0, 250_000)),
        ("2025-01-31T12:00:00.123456789Z", utc(2025, 1, 31, 12, 0, 0, 123_457)),
        ("2025-01-31T12:00:00+00:00", utc(2025, 1, 31, 12)),
        ("2025-01-31T12:00:00+05:30", utc(2025, 1, 31, 6, 30)),
        ("2025-01-31T12:00:00-05:30", utc(2025, 1, 31, 17, 30)),
        ("2025-01-31T00:30:00+14:00", utc(2025, 1, 30, 10, 30)),
        ("2025-12-31T23:30:00-01:00", utc(2026, 1, 1, 0, 30)),
        ("2025-01-31T12:30+01:00", utc(2025, 1, 31, 11, 30)),
        ("2025-01-31T12Z", utc(2025, 1, 31, 12)),
        ("2025-01-31Z", utc(2025, 1, 31)),
        ("2025-01-31+01:00", utc(2025, 1, 30, 23)),
        ("2024-02-29T00:00:00Z", utc(2024, 2, 29)),
    ],
)
def test_time_with_an_offset_is_the_same_everywhere(text: str, expected: datetime) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-01-31T12:34:56", utc(2025, 1, 31, 10, 34, 56)),
        ("2025-01-31T12:34:56.5", utc(2025, 1, 31, 10, 34, 56, 500_000)),
        ("2025-01-31T12:34", utc(2025, 1, 31, 10, 34)),
        ("2025-01-31T12", utc(2025, 1, 31, 10)),
        ("2025-01-31", utc(2025, 1, 30, 22)),
    ],
)
def test_time_without_an_offset_is_the_hosts_own(text: str, expected: datetime) -> None:
    assert moment(text) == expected


OFFSETS = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS))
def test_any_time_that_is_written_by_rfc_3339_is_read_back(written: datetime) -> None:
    found = moment(written.isoformat())
    assert found == written and found.utcoffset() == timedelta()


# Seconds since 1970.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", utc(1970, 1, 1)),
        ("1735689600", utc(2025, 1, 1)),
        ("1735689600.5", utc(2025, 1, 1, 0, 0, 0, 500_000)),
        ("1735689600.000000000", utc(2025, 1, 1)),
        ("4102444800", utc(2100, 1, 1)),
        ("2025", utc(1970, 1, 1, 0, 33, 45)),
    ],
)
def test_number_is_seconds_since_1970(text: str, expected: datetime) -> None:
    assert moment(text) == expected


# Nonsense.


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "yesterday",
        "now",
        # Durations have no days, and lead back only.
        "1d",
        "1w",
        "h",
        ".h",
        "1h 30m",
        " 24h",
        "24h ",
        "24h\n",
        "24H",
        "-24h",
        "+24h",
        "1e3s",
        "1,5h",
        "1h30",
        "1.2.3h",
        "٢٤h",
        "1" + "0" * 400 + "h",
        "20000000h",
        # No such day or time.
        "2025-02-29",
        "2025-13-01",
        "2025-00-10",
        "0000-01-01",
        "2025-01-31T24:00:00",
        "2025-01-31T12:60:00",
        "2025-01-31T12:00:60",
        "2025-01-31T12:00:00+25:00",
        "2025-01-31T12:00:00+01:60",
        "2025-01-31T12:00:00+99:99",
        # No such form.
        "2025-01",
        "2025-1-31",
        "25-01-31",
        "31.01.2025",
        "2025-01-31 12:00:00",
        "2025-01-31t12:00:00z",
        "2025-01-31T",
        "2025-01-31T12:",
        "2025-01-31T1:00",
        "2025-01-31T12.5",
        "2025-01-31T12:30.5",
        "2025-01-31T12:00:00.",
        "2025-01-31T12:00:00.1234567891",
        "2025-01-31T12:00:00 Z",
        "2025-01-31T12:00:00+1:00",
        "2025-01-31T12:00:00+0100",
        "2025-01-31T12:00:00+01",
        "2025-01-31T12:00:00ZZ",
        "2025-01-31\n",
        "٢٠٢٥-01-31",
        "-1735689600",
        "1735689600.",
        "1e9",
        "0x10",
        "1_000",
        "nan",
        "inf",
    ],
)
def test_nonsense_is_no_point_in_time(text: str) -> None:
    assert moment(text) is None
    assert not is_point_in_time(text)


@given(st.text() | st.text(alphabet="0123456789.:-+TZhmsµ \n"))
def test_any_text_is_a_point_in_time_or_none(text: str) -> None:
    found = moment(text)
    assert found is None or found.utcoffset() == timedelta()


def test_time_that_the_host_can_not_place_is_none() -> None:
    def refuse(local: datetime) -> datetime:
        raise OverflowError("mktime argument out of range")

    assert point_in_time("0001-01-01", NOW, refuse) is None


# Before or not.


@pytest.mark.parametrize(
    ("created", "until", "expected"),
    [
        ("2025-06-14T11:59:59.999999Z", "24h", True),
        ("2025-06-14T12:00:00.000000Z", "24h", False),
        ("2025-06-14T12:00:00.000001Z", "24h", False),
        ("2025-06-15T11:59:59.999999Z", "0s", True),
        ("2025-06-15T09:59:59.999999Z", "2025-06-15T12:00:00", True),
        ("2025-06-15T10:00:00.000000Z", "2025-06-15T12:00:00", False),
        ("2025-06-15T10:00:00.000000Z", "2025-06-15T12:00:00Z", True),
        ("2025-06-15T10:00:00.000000Z", "2026-01-01", True),
        ("2025-06-15T10:00:00.000000Z", "1749988799", True),
        ("2025-06-15T10:00:00.000000Z", "1749981600", False),
        ("1969-12-31T23:59:59.000000Z", "0", True),
    ],
)
def test_made_before(created: str, until: str, expected: bool) -> None:
    assert is_before(created, until, NOW_AS_TEXT, two_hours_east) is expected


@given(st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)), st.integers(0, 10**9))
def test_age_decides_where_until_is_a_duration(created: datetime, seconds: int) -> None:
    text = created.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    older = NOW - created.replace(tzinfo=timezone.utc) > timedelta(seconds=seconds)
    assert is_before(text, f"{seconds}s", NOW_AS_TEXT, two_hours_east) is older
