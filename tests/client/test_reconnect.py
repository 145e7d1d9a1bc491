from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.client.connection import ConnectionLost
from trio_chat.client.reconnect import is_passing, reconnect
from trio_chat.client.session import Session, UnreachableError
from trio_chat.errors import ErrorCode, FailureError

from .files.samples import SPEED
from .party import Guest, Party, open_party
from .scripted import ScriptedHost, begin_session


async def _lost_session() -> tuple[ScriptedHost, Session]:
    host = ScriptedHost()
    session, server = await begin_session(host)
    server.transport.close()
    with pytest.raises(ConnectionLost):
        await session.receive()
    host.tries.clear()
    return host, session


def _half() -> float:
    return 0.5


async def test_each_wait_is_longer_up_to_a_bound(autojump_clock: MockClock) -> None:
    host, session = await _lost_session()
    host.failures = [UnreachableError("down") for _ in range(100)]
    with pytest.raises(UnreachableError, match="down"):
        await reconnect(session, 60, _half)
    assert host.tries == [0.5, 1.5, 3.5, 7.5, 15.5, 30.5, 45.5]
    assert trio.current_time() == 60


async def test_it_ends_as_soon_as_the_server_is_back(autojump_clock: MockClock) -> None:
    host, session = await _lost_session()
    host.failures = [UnreachableError("down")]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reconnect, session, 60, _half)
        await (await host.accept()).admit_again()
    assert session.is_connected
    assert trio.current_time() == 1.5


async def test_clients_that_lost_a_server_together_come_back_one_by_one(
    autojump_clock: MockClock,
) -> None:
    numbers: Iterator[float] = iter([0.0, 1.0])
    host, session = await _lost_session()
    host.failures = [UnreachableError("down"), FailureError("end")]
    with pytest.raises(FailureError):
        await reconnect(session, 60, lambda: next(numbers))
    delay = limits.RECONNECT_DELAY_SECONDS
    assert host.tries == [0.5 * delay, 0.5 * delay + 2 * delay * 1.5]


async def test_a_busy_server_has_all_the_time_that_it_needs(autojump_clock: MockClock) -> None:
    host, session = await _lost_session()
    busy = [UnreachableError("busy", ErrorCode.TOO_MANY_ATTEMPTS) for _ in range(20)]
    host.failures = [*busy, *(UnreachableError("down") for _ in range(20))]
    with pytest.raises(UnreachableError, match="down"):
        await reconnect(session, 60, _half)
    assert trio.current_time() == host.tries[19] + 60


async def test_a_refusal_for_good_is_not_tried_again(autojump_clock: MockClock) -> None:
    host, session = await _lost_session()
    host.failures = [UnreachableError("wrong", ErrorCode.INVALID_PASSWORD)]
    with pytest.raises(UnreachableError, match="wrong"):
        await reconnect(session, 60, _half)
    assert trio.current_time() == 0.5


async def test_a_server_that_answers_nothing_is_left_in_time(autojump_clock: MockClock) -> None:
    _, session = await _lost_session()  # whose host accepts, and says nothing
    with pytest.raises(UnreachableError, match="does not answer"):
        await reconnect(session, 5, _half)
    assert trio.current_time() == 5


def test_what_may_pass() -> None:
    assert is_passing(None)
    assert {code for code in ErrorCode if is_passing(code)} == {
        ErrorCode.TOO_MANY_CONNECTIONS,
        ErrorCode.LOGIN_TIMEOUT,
        ErrorCode.LOGIN_BUSY,
        ErrorCode.TOO_MANY_ATTEMPTS,
        ErrorCode.SLOW,
        ErrorCode.STOPPING,
        ErrorCode.MAILBOX_UNREADABLE,
        ErrorCode.STILL_BLOCKED,
        ErrorCode.ALREADY_ONLINE,
    }


# -- With a real server ------------------------------------------------------------------------

LOST = "The server has closed the connection. Trying to reach it again"


@pytest.fixture
async def party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Party, None]:
    async with open_party(tmp_path, monkeypatch) as party:
        party.reconnect_seconds = 15
        yield party


async def _cut(guest: Guest) -> None:
    """Lose the guest's connection; the server notices that too."""
    guest.transport.close()
    await guest.sees(LOST)


async def test_others_see_somebody_go_and_come_back(
    party: Party, autojump_clock: MockClock
) -> None:
    hans, yoda = await party.join("hans", "yoda")
    await _cut(hans)
    hans.type("message yoda hey")
    await hans.sees("Not connected: 1 request waits for the server", "Connected again")
    await yoda.sees("hans logged out", "hans logged in", "hans: hey")
    await party.settle()


@pytest.fixture
def fast_clock() -> MockClock:
    """For what is done in a thread, which a clock that jumps does not wait for."""
    return MockClock(rate=SPEED)


async def test_what_somebody_shares_is_found_after_they_came_back(
    party: Party, fast_clock: MockClock, tmp_path: Path
) -> None:
    hans, yoda = await party.join("hans", "yoda")
    path = tmp_path / "map"
    path.write_bytes(b"abc")
    hans.type(f"register {path}")
    await hans.sees("Ok. map is registered: 3 bytes in 3 chunks of 1 bytes")
    await _cut(hans)
    await hans.sees("Connected again")
    await yoda.sees("hans logged out", "hans logged in")
    await party.settle()
    await yoda.says("searchFile map", "Available: map, 3 bytes", "hans: all 3 chunks")


async def test_private_messages_go_on_meanwhile_and_can_be_started_after(
    party: Party, autojump_clock: MockClock
) -> None:
    hans, yoda, luke = await party.join("hans", "yoda", "luke")
    await hans.says("startprivate yoda", "Start private messaging with yoda")
    await _cut(hans)
    hans.type("private yoda hey")
    await yoda.sees("hans logged out", "hans(private): hey")
    await hans.sees("Connected again")
    await yoda.sees("hans logged in")
    await luke.sees("hans logged out", "hans logged in")
    await hans.says("startprivate luke", "Start private messaging with luke")
    await party.settle()
