"""What the server measures of itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from trio_chat import __version__, limits
from trio_chat.core.statistics import Statistics
from trio_chat.server import health as health_module
from trio_chat.server.health import Health, Room, StoreHealth
from trio_chat.server.log import Record

from .harness import pause


def ignore(record: Record) -> None:
    raise AssertionError(f"nothing is wrong, but {record}")


def test_commits_are_timed() -> None:
    store = StoreHealth(ignore)
    for number in range(200):
        assert store.under_way(1000) == 0
        store.commit_begins(number)
        assert store.under_way(number + 0.25) == 0.25
        store.commit_ends(number + (0.5 if number == 150 else 0.001))
    assert store.count == len(store.seconds) == 200
    assert store.slowest_since(0) == 0.5
    assert store.slowest_since(151) == pytest.approx(0.001)
    assert store.slowest_since(200) == 0


def test_what_is_remembered_is_bounded() -> None:
    store = StoreHealth(ignore)
    for _ in range(limits.COMMITS_MEASURED_MAX + 5):
        store.commit_begins(0)
        store.commit_ends(1)
    assert len(store.seconds) == limits.COMMITS_MEASURED_MAX
    assert store.slowest_since(0) == 1


async def test_a_loop_that_is_late_shows(autojump_clock: MockClock) -> None:
    health = Health(ignore)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(health.measure_lag)
        await pause(10 * limits.LAG_SAMPLE_SECONDS)
        autojump_clock.autojump_threshold = float("inf")
        await trio.testing.wait_all_tasks_blocked()
        autojump_clock.jump(limits.LAG_SAMPLE_SECONDS + 0.125)  # as if something had kept it busy
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    status = health.status(Statistics(3, 2, 7), connections=4)
    assert status.loop_lag_max == status.loop_lag_p99 == pytest.approx(0.125)


async def test_a_status_holds_it_all(autojump_clock: MockClock) -> None:
    health = Health(lambda record: None)
    for number in range(100):
        health.store.commit_begins(0)
        health.store.commit_ends(0.001 * (number + 1), "full" if number == 99 else "")
    await pause(90)
    health.store.commit_begins(trio.current_time())
    await pause(2)
    status = health.status(Statistics(3, 2, 7), connections=4)
    assert (status.version, status.uptime) == (__version__, 92)
    assert (status.users_online, status.connections) == (3, 4)
    assert (status.mailboxes_waiting, status.messages_waiting) == (2, 7)
    assert (status.store_failure, status.commits, status.commit_under_way) == ("full", 100, 2)
    assert (status.commit_last, status.commit_p99) == pytest.approx((0.1, 0.1))
    assert 2**20 < status.memory_bytes < 2**34
    assert status.open_files is not None
    assert 3 <= status.open_files < 10_000


async def test_systems_that_tell_less_are_no_trouble(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_DESCRIPTORS", "_MEMORY"):
        monkeypatch.setattr(health_module, name, Path(os.devnull) / "nothing")
    status = Health(ignore).status(Statistics(0, 0, 0), connections=0)
    assert status.open_files is None
    assert 2**20 < status.memory_bytes < 2**34


async def test_the_operator_is_told_once_that_there_is_no_room(autojump_clock: MockClock) -> None:
    told: list[str] = []
    room = Room(940, lambda record: told.append(record.text))
    for _ in range(100):
        room.full()
        await trio.sleep(1)
    assert told == [
        "there are 940 connections, and others wait for room; the system allows too few open"
        " files, which 'ulimit -n' changes"
    ]
    await trio.sleep(limits.NO_ROOM_ALARM_SECONDS)
    room.full()
    assert len(told) == 2
