"""The store task: each job is done, in order, and answered, whatever comes of it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_chat.core.commands import Command, CommitFailed, Committed, MailboxLoaded
from trio_chat.core.effects import Commit, LoadMailbox
from trio_chat.protocol.messages import Delivery
from trio_chat.server.health import StoreHealth
from trio_chat.server.hub import StoreJob
from trio_chat.server.log import Record, as_text
from trio_chat.server.store_task import run_store
from trio_chat.storage.memory import MemoryStore

HELLO = Delivery(1, "hans", "pc", 2, "hello")
COMMIT = Commit(1, (("yoda", HELLO),), (), ())


class Rig:
    """The task on a store in memory, with its jobs and its answers."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.store = MemoryStore()
        self.log: list[str] = []
        self.alarms: list[str] = []
        self.health = StoreHealth(lambda record: self.alarms.append(as_text(record)))
        self._ask, jobs = trio.open_memory_channel[StoreJob](10)
        self._answer, self._answers = trio.open_memory_channel[Command](10)

        async def run() -> None:
            await run_store(self.store, jobs, self._answer.send, self.health, self._write_log)

        nursery.start_soon(run)

    def _write_log(self, record: Record) -> None:
        self.log.append(as_text(record))

    async def do(self, *jobs: StoreJob) -> list[Command]:
        for job in jobs:
            self._ask.send_nowait(job)
        return [await self._answers.receive() for _ in jobs]


@pytest.fixture
async def rig(nursery: trio.Nursery) -> Rig:
    return Rig(nursery)


async def test_jobs_are_done_and_answered_in_order(autojump_clock: MockClock, rig: Rig) -> None:
    load = LoadMailbox("yoda")
    assert await rig.do(load, COMMIT, load) == [
        MailboxLoaded("yoda", ()),
        Committed(1),
        MailboxLoaded("yoda", (HELLO,)),
    ]
    assert (rig.log, rig.alarms, rig.health.count) == ([], [], 1)


async def test_every_failure_is_an_answer_and_a_line_in_the_log_and_one_alarm(
    autojump_clock: MockClock, rig: Rig
) -> None:
    rig.store.failure = "the disk is full"
    for _ in range(3):
        assert await rig.do(COMMIT, LoadMailbox("yoda")) == [
            CommitFailed(1),
            MailboxLoaded("yoda", None),
        ]
    assert rig.log == ["store failed: the disk is full"] * 6
    failing = [
        "the store fails, and what it can't keep is refused: the disk is full",
        "the mailbox of 'yoda' can't be read, so 'yoda' can't log in: the disk is full",
    ]
    assert rig.alarms == failing
    rig.store.failure = None
    for _ in range(2):
        assert await rig.do(COMMIT, LoadMailbox("yoda")) == [
            Committed(1),
            MailboxLoaded("yoda", (HELLO,)),
        ]
    assert rig.alarms == [
        *failing,
        "the store works again",
        "the mailbox of 'yoda' can be read again",
    ]
