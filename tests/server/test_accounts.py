"""Accounts that change while people chat.

The clock stands still but for the jumps of a test, as the file is read in a worker thread,
of which trio's autojump knows nothing.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat import limits
from trio_chat.core.commands import Command, UsersChanged
from trio_chat.errors import ErrorCode, UsageError
from trio_chat.protocol import messages as wire
from trio_chat.server.accounts import Accounts, open_accounts
from trio_chat.server.log import Record, as_text

from .harness import running_chat
from .program import running_server, talker, wait_until

HANS, YODA, LUKE = "hans secret-hans\n", "yoda secret-yoda\n", "luke secret-luke\n"


def write(path: Path, text: str) -> None:
    path.write_text(text)


def never(what: object) -> None:
    raise AssertionError(what)


class Watch:
    """Accounts whose file is watched.

    Attributes:
        accounts: those.
        path: of the file.
        log: what was written into the debug log.
        alarms: what the operator was told.
    """

    def __init__(self, path: Path, clock: MockClock) -> None:
        self.path = path
        self.accounts = open_accounts(path)
        self.log: list[str] = []
        self.alarms: list[str] = []
        self._clock = clock
        self._send, self._commands = trio.open_memory_channel[Command](10)

    async def run(self) -> None:
        await self.accounts.watch(self._send.send, self._alarm, self._write_log)

    def _write_log(self, record: Record) -> None:
        self.log.append(as_text(record))

    def _alarm(self, record: Record) -> None:
        self.alarms.append(as_text(record))

    async def look(self, times: int = 1) -> None:
        """Let the time pass until the next look begins."""
        for _ in range(times):
            await wait_all_tasks_blocked()
            self._clock.jump(limits.CREDENTIALS_LOOK_SECONDS)

    async def alarm(self) -> str:
        """What the operator is told next, which takes two looks."""
        count = len(self.alarms)
        await self.look(2)
        while len(self.alarms) == count:
            await trio.lowlevel.checkpoint()
        [alarm] = self.alarms[count:]
        return alarm

    async def command(self) -> UsersChanged:
        """What comes of a change: it counts when two looks have seen the same."""
        await self.look(2)
        command = await self._commands.receive()
        assert isinstance(command, UsersChanged)
        assert command.users == self.accounts.credentials.users
        return command

    async def changed(self) -> frozenset[str]:
        """The users that a change brings."""
        return (await self.command()).users

    def expect_nothing(self) -> None:
        with pytest.raises(trio.WouldBlock):
            self._commands.receive_nowait()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "accounts"
    path.write_text(HANS + YODA)
    return path


@pytest.fixture
async def watch(path: Path, mock_clock: MockClock, nursery: trio.Nursery) -> AsyncIterator[Watch]:
    watch = Watch(path, mock_clock)
    nursery.start_soon(watch.run)
    yield watch
    nursery.cancel_scope.cancel()


async def test_a_changed_file_is_taken_over_when_two_looks_have_seen_the_same(watch: Watch) -> None:
    watch.path.write_text(HANS)
    await watch.look()
    await wait_all_tasks_blocked()
    watch.expect_nothing()
    watch.path.write_text(HANS + LUKE)
    assert await watch.changed() == {"hans", "luke"}
    assert watch.accounts.credentials.check("luke", "secret-luke")
    assert watch.log == [f"read 2 accounts from {watch.path}"]
    assert watch.alarms == []


async def test_whose_password_has_changed_is_told_since_the_file_was_last_usable(
    watch: Watch,
) -> None:
    watch.path.write_text(HANS + YODA.replace("secret", "another") + LUKE)
    assert (await watch.command()).changed == {"yoda"}
    watch.path.write_text("nonsense")
    await watch.alarm()
    watch.path.write_text(HANS.replace("secret", "another") + LUKE)
    assert (await watch.command()).changed == {"hans"}


async def test_a_file_that_was_replaced_counts_though_it_looks_the_same(watch: Watch) -> None:
    status = watch.path.stat()
    new = watch.path.with_name("new")
    new.write_text(HANS.upper() + YODA)
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.replace(watch.path)
    assert await watch.changed() == {"HANS", "yoda"}


async def test_a_file_that_does_not_change_is_not_read(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = watch.accounts.credentials
    for _ in range(5):
        await watch.look()
    await wait_all_tasks_blocked()
    watch.expect_nothing()
    assert watch.accounts.credentials is before


async def test_a_reload_that_was_asked_for_happens_at_once(watch: Watch) -> None:
    await wait_all_tasks_blocked()
    before = trio.current_time()
    watch.path.write_text(HANS + LUKE)
    watch.accounts.reload()
    command = await watch._commands.receive()
    assert isinstance(command, UsersChanged)
    assert command.users == {"hans", "luke"}
    assert trio.current_time() < before + limits.CREDENTIALS_LOOK_SECONDS
    await watch.look()
    await wait_all_tasks_blocked()
    watch.expect_nothing()


async def test_a_reload_that_was_asked_for_happens_though_nothing_seems_changed(
    watch: Watch,
) -> None:
    status = watch.path.stat()
    watch.path.write_text(HANS.upper() + YODA)
    os.utime(watch.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    watch.accounts.reload()
    assert await watch.changed() == {"HANS", "yoda"}
    before = watch.accounts.credentials
    await watch.look()
    await wait_all_tasks_blocked()
    assert watch.accounts.credentials is before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("hans secret-hans\nyoda\n", "line 2: expected a user name, a blank and a password"),
        ("hans $argon2id$nonsense\n", "line 1: not a valid argon2id hash"),
        ("", "has no users"),
        (None, "there is no credentials file"),
    ],
)
async def test_a_file_that_cannot_be_used_changes_nothing_and_is_told_once(
    watch: Watch, content: str | None, reason: str
) -> None:
    before = watch.accounts.credentials
    watch.path.unlink()
    if content is not None:
        watch.path.write_text(content)
    line = await watch.alarm()
    await watch.look(2)
    await wait_all_tasks_blocked()
    assert watch.alarms == [line]
    assert line.startswith("the accounts stay as they are: ")
    assert reason in line
    assert "secret" not in line
    assert watch.accounts.credentials is before
    watch.expect_nothing()
    watch.path.write_text(LUKE)
    assert await watch.changed() == {"luke"}
    assert watch.alarms == [line, f"read 1 accounts from {watch.path}"]
    assert watch.log == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
async def test_a_file_that_cannot_be_read_is_tried_again_until_it_can(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patch:

        def fail(path: Path) -> bytes:
            raise OSError(number, os.strerror(number))

        patch.setattr(Path, "read_bytes", fail)
        watch.path.write_text(HANS.replace("secret", "new"))
        line = await watch.alarm()
        assert os.strerror(number) in line
        await watch.look(3)
        await wait_all_tasks_blocked()
        assert watch.alarms == [line]
    assert await watch.changed() == {"hans"}
    assert not watch.accounts.credentials.check("hans", "secret-hans")
    assert watch.alarms == [line, f"read 1 accounts from {watch.path}"]


async def test_a_file_that_is_put_back_as_it_was_is_well_again(watch: Watch) -> None:
    away = watch.path.with_name("away")
    watch.path.rename(away)
    assert "there is no credentials file" in await watch.alarm()
    away.rename(watch.path)
    assert await watch.alarm() == f"read 2 accounts from {watch.path}"


async def test_another_fault_is_told_too_and_all_again_to_whoever_asks(watch: Watch) -> None:
    for content in ("one", "one\ntwo three four\n", "one\ntwo three four\n"):
        watch.path.write_text(content)
        watch.accounts.reload()
        await watch.alarm()
    assert [line[-60:] for line in watch.alarms] == [
        "accounts, line 1: expected a user name, a blank and a password"[-60:]
    ] * 3


async def test_a_last_line_without_its_end_is_looked_at_again_before_it_counts(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = (HANS + LUKE)[:-4]  # a part of the password is missing
    read_bytes, was_read = Path.read_bytes, threading.Event()

    def read(path: Path) -> bytes:
        data = read_bytes(path)
        was_read.set()
        return data

    watch.path.write_text(cut)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        watch.accounts.reload()
        await trio.to_thread.run_sync(was_read.wait)
    watch.path.write_text(HANS + LUKE)
    assert await watch.changed() == {"hans", "luke"}
    assert watch.accounts.credentials.check("luke", "secret-luke")
    watch.path.write_text(HANS + "luke never-ends")
    assert (await watch.command()).changed == {"luke"}
    assert watch.accounts.credentials.check("luke", "never-ends")


async def test_a_file_that_changes_while_it_is_read_does_not_count(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_bytes, was_read = Path.read_bytes, threading.Event()

    def read_and_change(path: Path) -> bytes:
        data = read_bytes(path)
        path.write_text(HANS + YODA + LUKE)
        was_read.set()
        return data

    watch.path.write_text(HANS)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_and_change)
        await watch.look(2)
        await trio.to_thread.run_sync(was_read.wait)
    assert await watch.changed() == {"hans", "yoda", "luke"}


async def test_a_comment_that_was_an_account_once_is_told(
    path: Path, mock_clock: MockClock, nursery: trio.Nursery
) -> None:
    write(path, "# of the office\n#luke skywalker\n" + HANS)
    watch = Watch(path, mock_clock)
    nursery.start_soon(watch.run)
    await wait_all_tasks_blocked()
    assert watch.alarms == [
        f"{path}, line 2 begins with # and is a comment, no account; with a blank after the # this"
        " is not said"
    ]
    write(path, "# of the office\n# luke skywalker\n" + HANS)
    assert await watch.changed() == {"hans"}
    write(path, "#luke skywalker\n" + HANS)
    assert await watch.changed() == {"hans"}
    assert len(watch.alarms) == 2
    nursery.cancel_scope.cancel()


async def test_a_change_while_the_server_starts_is_not_missed(
    path: Path, mock_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_bytes = Path.read_bytes

    def read_and_change(path: Path) -> bytes:
        data = read_bytes(path)
        path.write_text(HANS + YODA + LUKE)
        return data

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_and_change)
        watch = Watch(path, mock_clock)
    assert watch.accounts.credentials.users == {"hans", "yoda"}
    nursery.start_soon(watch.run)
    assert await watch.changed() == {"hans", "yoda", "luke"}
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("age", [0.0, -1000.0])
def test_a_start_waits_for_the_end_of_a_file_that_is_being_written(path: Path, age: float) -> None:
    """With a clock that goes wrong, too: the second look decides."""
    path.write_text(HANS + "yoda secr")
    now = path.stat().st_mtime_ns
    os.utime(path, ns=(now, now - int(age * 1e9)))
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            path.write_text(HANS + "yoda secret-y")

    accounts = open_accounts(path, sleep)
    assert accounts.credentials.check("yoda", "secret-y")
    assert pauses == [limits.CREDENTIALS_LOOK_SECONDS] * 2


def test_a_start_waits_for_no_file_that_is_whole_or_old(path: Path) -> None:
    open_accounts(path, sleep=never)
    path.write_text(HANS + "yoda without-a-newline")
    os.utime(path, (1, 1))
    assert open_accounts(path, sleep=never).credentials.check("yoda", "without-a-newline")


def test_a_start_does_not_wait_for_ever(path: Path) -> None:
    looks = 0

    def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        path.write_text(f"hans {'x' * looks}")

    path.write_text("hans solo")
    assert open_accounts(path, sleep).credentials.users == {"hans"}
    assert looks == limits.CREDENTIALS_LOOKS_MAX


def test_a_file_that_cannot_be_used_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no credentials file"):
        open_accounts(tmp_path / "missing")


async def test_accounts_without_a_file_never_change(path: Path) -> None:
    accounts = Accounts(open_accounts(path).credentials)

    async def submit(command: Command) -> None:
        raise AssertionError(command)

    accounts.reload()
    await accounts.watch(submit, never, None)  # returns


# -- In a server ---------------------------------------------------------------------------------


async def test_a_removed_user_is_unknown_from_then_on_and_who_is_online_stays_so(
    path: Path, mock_clock: MockClock
) -> None:
    write(path, HANS + YODA + LUKE)
    async with running_chat(accounts=open_accounts(path), debug=True) as chat:
        hans, yoda = await chat.login("hans"), await chat.login("yoda")
        await wait_all_tasks_blocked()
        mock_clock.jump(limits.NOTICE_DELAY_SECONDS)
        await hans.expect(wire.Presence)
        write(path, HANS + YODA.replace("secret", "another"))
        for _ in range(2):
            await wait_all_tasks_blocked()
            mock_clock.jump(limits.CREDENTIALS_LOOK_SECONDS)
        while not any("UsersChanged" in line for line in chat.log):
            await trio.lowlevel.checkpoint()

        refused = await hans.refused(wire.Message, to="luke", text="hello")
        assert refused.code is ErrorCode.UNKNOWN_USER
        stranger = await chat.greeted()
        for user in ("luke", "yoda"):
            reply = await stranger.try_login(user, f"secret-{user}")
            assert isinstance(reply, wire.Error)
            assert reply.code is ErrorCode.INVALID_PASSWORD
        reply = await stranger.try_login("yoda", "another-yoda")
        assert isinstance(reply, wire.Error)
        assert reply.code is ErrorCode.ALREADY_ONLINE

        await hans.tell(yoda, "yoda", "still there?")
        await yoda.tell(hans, "hans", "yes")
        for client in (hans, yoda, stranger):
            client.drop()
        await wait_all_tasks_blocked()
        mock_clock.autojump_threshold = 0


def test_the_program_reads_its_accounts_again_when_asked_and_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "credentials.txt"
    with running_server(tmp_path, "-d") as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")
        path.write_text("hans solo\nluke skywalker\n")
        wait_until(lambda: "UsersChanged users=(2)" in server.printed()[1])
        with talker(server.port) as luke:
            luke.log_in("luke", "skywalker")
        hans.send(wire.Message(2, "yoda", "gone?"))
        while not isinstance(reply := hans.next(), wire.Error):
            assert isinstance(reply, wire.Presence)
        assert reply.code is ErrorCode.UNKNOWN_USER
        reads = server.printed()[1].count("read 2 accounts")
        server.send_signal(signal.SIGHUP)
        wait_until(lambda: server.printed()[1].count("read 2 accounts") > reads)
        hans.send(wire.WhoElse(3))
        while not isinstance(reply := hans.next(), wire.Users):
            assert isinstance(reply, wire.Presence)
