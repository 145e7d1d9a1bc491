"""The store task: each job is done, in order, and answered, whatever comes of it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_chat.core.commands import Command, CommitFailed, Committed, MailboxLoaded
from trio_chat.core.effects import Commit, LoadMailbox
from trio_chat.protocol.messages import Delivery
from trio_chat.server.hub import StoreJob
from trio_chat.server.store_task import run_store
from trio_chat.storage.memory import MemoryStore

HELLO = Delivery(1, "hans", "pc", 2, "hello")
COMMIT = Commit(1, (("yoda", HELLO),), (), ())


class Rig:
    """The task on a store in memory, with its jobs and its answers."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.store = MemoryStore()
        self.log: list[str] = []
        self._ask, jobs = trio.open_memory_channel[StoreJob](10)
        self._answer, self._answers = trio.open_memory_channel[Command](10)
        nursery.start_soon(run_store, self.store, jobs, self._answer.send, self.log.append)

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
    assert rig.log == []


async def test_a_failure_is_an_answer_and_a_line_in_the_log(
    autojump_clock: MockClock, rig: Rig
) -> None:
    rig.store.failure = "the disk is full"
    assert await rig.do(COMMIT, LoadMailbox("yoda")) == [
        CommitFailed(1),
        MailboxLoaded("yoda", None),
    ]
    assert rig.log == ["store failed: the disk is full"] * 2
    rig.store.failure = None
    assert await rig.do(COMMIT) == [Committed(1)]
