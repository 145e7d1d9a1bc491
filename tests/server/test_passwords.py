"""The password task: what is quick is checked at once, what is slow in a few threads."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator

import pytest
import trio

from trio_chat.core.commands import Command, PasswordChecked
from trio_chat.core.effects import CheckPassword
from trio_chat.server import passwords
from trio_chat.server.accounts import Accounts
from trio_chat.server.credentials import Credentials

from .harness import QUICK_HASHER

PATIENCE_SECONDS = 20
PLAIN = {"hans": "solo", "yoda": "wise"}
HASHED = {user: QUICK_HASHER.hash(password) for user, password in PLAIN.items()}


class WatchedCredentials(Credentials):
    """Credentials whose checks wait at a gate.

    Attributes:
        gate: shut it to hold the checks.
        threads: in which the checks were made.
        running: checks that are under way now.
        most: checks that were under way at a time.
    """

    def __init__(self, entries: dict[str, str]) -> None:
        super().__init__(entries)
        self.gate = threading.Event()
        self.gate.set()
        self.threads: list[int] = []
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def check(self, user: str, password: str) -> bool:
        with self._lock:
            self.threads.append(threading.get_ident())
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.gate.wait(PATIENCE_SECONDS)
        correct = super().check(user, password)
        with self._lock:
            self.running -= 1
        return correct


class Task:
    """The password task, its jobs and its results.

    Attributes:
        accounts: against which it checks.
    """

    def __init__(self, nursery: trio.Nursery, credentials: Credentials) -> None:
        self.accounts = Accounts(credentials)
        self._jobs, jobs = trio.open_memory_channel[CheckPassword](100)
        self._submit, self._results = trio.open_memory_channel[Command](100)
        nursery.start_soon(passwords.check_passwords, jobs, self.accounts, self._submit.send)

    def ask(self, session: int, user: str, password: str) -> None:
        self._jobs.send_nowait(CheckPassword(session, user, password))

    async def result(self) -> PasswordChecked:
        with trio.fail_after(PATIENCE_SECONDS):
            command = await self._results.receive()
        assert isinstance(command, PasswordChecked)
        return command


@pytest.fixture
async def tasks(nursery: trio.Nursery) -> AsyncIterator[trio.Nursery]:
    """A nursery that is cancelled at the end."""
    yield nursery
    nursery.cancel_scope.cancel()


async def until_running(credentials: WatchedCredentials, count: int) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        while credentials.running < count:
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("entries", [PLAIN, HASHED, {**PLAIN, "hans": HASHED["hans"]}])
async def test_each_check_is_answered_with_its_result(
    tasks: trio.Nursery, entries: dict[str, str]
) -> None:
    task = Task(tasks, Credentials(entries))
    for session, user, password, correct in (
        (1, "hans", "solo", True),
        (2, "hans", "wise", False),
        (3, "yoda", "wise", True),
        (4, "nobody", "wise", False),
    ):
        task.ask(session, user, password)
        assert await task.result() == PasswordChecked(session, user, correct)


async def test_plain_passwords_are_checked_in_the_loop(tasks: trio.Nursery) -> None:
    credentials = WatchedCredentials(PLAIN)
    task = Task(tasks, credentials)
    task.ask(1, "hans", "solo")
    await task.result()
    assert credentials.threads == [threading.get_ident()]


async def test_hashes_are_computed_in_a_thread_while_the_loop_goes_on(
    tasks: trio.Nursery,
) -> None:
    credentials = WatchedCredentials(HASHED)
    credentials.gate.clear()
    task = Task(tasks, credentials)
    task.ask(1, "hans", "solo")
    await until_running(credentials, 1)
    for _ in range(100):
        await trio.lowlevel.checkpoint()
    assert credentials.running == 1
    credentials.gate.set()
    assert (await task.result()).correct
    assert threading.get_ident() not in credentials.threads


@pytest.mark.parametrize("workers", [1, 3])
async def test_only_so_many_are_computed_at_a_time_and_the_others_get_their_turn(
    tasks: trio.Nursery, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(passwords, "WORKERS", workers)
    credentials = WatchedCredentials(HASHED)
    credentials.gate.clear()
    task = Task(tasks, credentials)
    for session in range(20):
        task.ask(session, "hans", "solo")
    await until_running(credentials, workers)
    credentials.gate.set()
    sessions = [(await task.result()).session for _ in range(20)]
    assert sorted(sessions) == list(range(20))
    assert credentials.most == workers


def test_one_worker_is_the_least() -> None:
    assert passwords.WORKERS >= 1


async def test_who_is_removed_while_the_password_is_checked_does_not_get_in(
    tasks: trio.Nursery,
) -> None:
    credentials = WatchedCredentials(HASHED)
    credentials.gate.clear()
    task = Task(tasks, credentials)
    task.ask(1, "hans", "solo")
    await until_running(credentials, 1)
    task.accounts.credentials = Credentials({"yoda": HASHED["yoda"]})
    credentials.gate.set()
    assert await task.result() == PasswordChecked(1, "hans", correct=False)
