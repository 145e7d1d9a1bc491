from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat import limits
from trio_chat.client.chat import LOGOUT_SECONDS_MAX
from trio_chat.client.connection import ConnectionLost
from trio_chat.client.reconnect import is_passing, reconnect
from trio_chat.client.session import Session, UnreachableError
from trio_chat.errors import ErrorCode, FailureError
from trio_chat.protocol import messages as wire

from .files.samples import SPEED
from .party import Guest, Party, open_party
from .scene import SERVER_GONE, TRYING, Scene, delivery, open_scene
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
        ErrorCode.LOGINS_OFF,
    }


# -- What a person sees of it -------------------------------------------------------------------


async def test_what_is_typed_while_the_server_is_away_waits(
    patient: Scene, autojump_clock: MockClock
) -> None:
    person = patient.person
    await patient.begin()
    person.type("message hans before")
    await patient.server.expect(wire.Message)
    patient.server.transport.close()
    await person.see(f"{SERVER_GONE}. {TRYING}")
    person.type("message luke meanwhile", "whoelse")
    await person.see("Not connected: 2 requests wait for the server")
    await person.see("Not connected: 3 requests wait for the server")
    server = await patient.comes_back()
    await person.see("Connected again")
    sent = [await server.next() for _ in range(3)]
    assert sent == [
        wire.Message(4, "hans", "before"),
        wire.Message(5, "luke", "meanwhile"),
        wire.WhoElse(6),
    ]
    server.say(wire.Ok(4), wire.Ok(5), wire.Users(6, ("luke",)))
    await person.see("luke")
    person.type("logout")
    await server.dismiss()
    assert await patient.end() == 0
    assert person.screen == []


async def test_nothing_is_shown_twice_after_coming_back(
    patient: Scene, autojump_clock: MockClock
) -> None:
    heard = wire.Announcement("hans", "c", 7, "all")
    await patient.begin(delivery(1, "one"), heard)
    await patient.person.see("hans: all")
    patient.server.transport.close()
    server = await patient.comes_back(delivery(1, "one"), heard, delivery(2, "two"))
    await patient.person.see("hans: two")
    assert patient.person.batches[-1] == ["hans: two"]
    assert await server.expect(wire.Ack) == wire.Ack(2)
    patient.person.type("logout")
    await server.dismiss()
    assert await patient.end() == 0


async def test_a_server_that_shuts_down_is_waited_for(
    patient: Scene, autojump_clock: MockClock
) -> None:
    await patient.begin()
    patient.server.say(wire.Closed(ErrorCode.STOPPING, "The server is shutting down"))
    patient.server.transport.close()
    await patient.person.see(f"The server is shutting down. {TRYING}")
    server = await patient.comes_back()
    await patient.person.see("Connected again")
    patient.person.type("logout")
    await server.dismiss()
    assert await patient.end() == 0


async def test_who_was_logged_out_does_not_come_back(
    patient: Scene, autojump_clock: MockClock
) -> None:
    await patient.begin()
    text = ErrorCode.IDLE.describe(seconds=120)
    patient.server.say(wire.Closed(ErrorCode.IDLE, text))
    patient.server.transport.close()
    assert await patient.end() == 1
    assert patient.person.screen == [text]


async def test_a_server_that_is_lost_for_good(patient: Scene, autojump_clock: MockClock) -> None:
    await patient.begin()
    patient.host.failures = [UnreachableError("It is down") for _ in range(100)]
    patient.server.transport.close()
    patient.person.type("message hans 1")
    before = trio.current_time()
    assert await patient.end() == 1
    assert trio.current_time() == before + 15
    assert patient.person.screen[-1] == (
        "It is down. 1 request was not answered, so it may not have been done"
    )


async def test_another_server_in_its_place_ends_it(
    patient: Scene, autojump_clock: MockClock
) -> None:
    await patient.begin()
    patient.host.failures = [FailureError("The server is not the one that it was.")]
    patient.server.transport.close()
    assert await patient.end() == 1
    assert patient.person.screen[-1] == "The server is not the one that it was."


async def test_what_waited_is_told_if_another_server_is_there(
    patient: Scene, autojump_clock: MockClock
) -> None:
    await patient.begin()
    patient.host.failures = [FailureError("The server is not the one that it was.")]
    patient.server.transport.close()
    patient.person.type("message hans 1", "message hans 2")
    assert await patient.end() == 1
    assert patient.person.screen[-1] == (
        "The server is not the one that it was."
        " 2 requests were not answered, so they may not have been done"
    )
    assert patient.person.notices[-1].fields["code"] == "failure"


async def test_who_wants_to_leave_does_not_wait_for_the_server(
    patient: Scene, autojump_clock: MockClock
) -> None:
    await patient.begin()
    patient.host.failures = [UnreachableError("It is down") for _ in range(100)]
    patient.server.transport.close()
    await patient.person.see(f"{SERVER_GONE}. {TRYING}")
    patient.person.type("logout")
    assert await patient.end() == 0
    assert trio.current_time() < LOGOUT_SECONDS_MAX


async def test_who_leaves_with_something_waiting_is_told(
    patient: Scene, autojump_clock: MockClock
) -> None:
    await patient.begin()
    patient.host.failures = [UnreachableError("It is down") for _ in range(100)]
    patient.server.transport.close()
    await patient.person.see(f"{SERVER_GONE}. {TRYING}")
    patient.person.type("message hans 1", "logout")
    assert await patient.end() == 1
    assert patient.person.screen[-1] == ("1 request was not answered, so it may not have been done")


async def test_what_may_wait_is_bounded(patient: Scene, autojump_clock: MockClock) -> None:
    person = patient.person
    await patient.begin()
    patient.server.transport.close()
    await person.see(f"{SERVER_GONE}. {TRYING}")
    many = limits.REQUESTS_UNANSWERED_MAX
    person.type(*["message hans hi"] * many, "message hans 'too much'")
    await person.see(f"Not connected: {many} requests wait for the server")
    await person.see(
        "Error. Too much waits for the server already. Please try again when it is back"
    )
    server = await patient.comes_back()
    for id in range(4, many + 4):
        assert await server.expect(wire.Message) == wire.Message(id, "hans", "hi")
        server.say(wire.Ok(id))
    person.type("logout")
    await server.dismiss()
    assert await patient.end() == 0


async def test_a_full_outbox_does_not_keep_anybody_from_coming_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """What the client itself wants to know waits its turn, and not where replies are read."""
    many = limits.REQUESTS_UNANSWERED_MAX
    async with open_scene(tmp_path, shows_status=True, reconnect_seconds=15) as scene:
        person = scene.person
        await scene.begin()
        whoelse = await scene.server.expect(wire.WhoElse)
        scene.server.say(wire.Users(whoelse.id, ()))
        await wait_all_tasks_blocked()
        scene.server.transport.close()
        await person.see(f"{SERVER_GONE}. {TRYING}")
        person.type(*["message hans hi"] * many)
        await person.see(f"Not connected: {many} requests wait for the server")
        server = await scene.comes_back()
        for _ in range(many):
            message = await server.expect(wire.Message)
            server.say(wire.Ok(message.id))
        await server.expect(wire.WhoElse)
        person.type("logout")
        await server.dismiss()


async def test_a_script_may_wait_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It has no need to know that it does."""
    async with open_scene(tmp_path, interactive=False, reconnect_seconds=60) as scene:
        await scene.begin()
        scene.server.transport.close()
        scene.person.type("message hans 1")
        scene.person.type_end()
        server = await scene.comes_back()
        message = await server.expect(wire.Message)
        server.say(wire.Ok(message.id))
        await server.dismiss()
    assert scene.status == 0
    assert scene.person.screen == [f"{SERVER_GONE}. {TRYING}", "Connected again"]


async def test_a_connection_that_is_lost_before_the_login_is_the_end(
    patient: Scene, autojump_clock: MockClock
) -> None:
    patient.server.transport.close()
    assert await patient.end() == 1
    assert patient.person.screen[-1] == SERVER_GONE


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
    await yoda.sees("hans(private): hey", "hans logged out")
    await hans.sees("Connected again")
    await yoda.sees("hans logged in")
    await luke.sees("hans logged out", "hans logged in")
    await hans.says("startprivate luke", "Start private messaging with luke")
    await party.settle()
