from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat import limits
from trio_chat.client.connection import ConnectionLost
from trio_chat.client.exchange import Exchange, Received
from trio_chat.client.session import Session, UnreachableError
from trio_chat.errors import ErrorCode, FailureError, ProtocolViolation
from trio_chat.protocol import messages as wire

from .scripted import ScriptedHost, ScriptedServer, begin_session, open_session

WHOELSE = wire.WhoElse(0)
HELLO = wire.Hello(wire.PROTOCOL_VERSION, "abcd", (wire.RESUME, wire.CODES))


def _delivery(seq: int) -> wire.Delivery:
    return wire.Delivery(seq, "hans", "c", seq, "hi")


def _error(code: ErrorCode, id: int) -> wire.Error:
    return wire.Error(code, code.describe(user="hans", seconds=5), id)


async def _show_next(session: Session) -> list[Received]:
    batch = await session.receive()
    session.shown(batch)
    return batch


# -- The first connection ------------------------------------------------------------------


async def test_greeting_names_version_and_client(autojump_clock: MockClock) -> None:
    _, server = await open_session(ScriptedHost())
    assert server.requests == [HELLO]


async def _opening(*said: wire.ServerMessage, data: bytes = b"") -> str:
    """Why a server that says this can't be used."""
    host = ScriptedHost()
    session = Session("server:4000", host.connect, "abcd")

    async def answer() -> None:
        server = await host.accept()
        server.say(*said)
        server.say_bytes(data)
        server.transport.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        with pytest.raises(UnreachableError) as caught:
            await session.open()
    return str(caught.value)


async def test_why_a_server_can_not_be_used(autojump_clock: MockClock) -> None:
    assert await _opening(wire.Error(ErrorCode.WRONG_VERSION, "Please update")) == "Please update"
    assert await _opening() == "The server at server:4000 has closed the connection"
    assert await _opening(data=b"SSH-2.0\n") == (
        "What answers at server:4000 is no trio-chat server"
    )


async def test_a_server_that_says_nothing(autojump_clock: MockClock) -> None:
    session = Session("server:4000", ScriptedHost().connect, "abcd")
    with pytest.raises(UnreachableError, match="server:4000 does not answer"):
        await session.open()
    assert trio.current_time() == limits.CONNECT_SECONDS_MAX


async def test_a_login_has_begun_the_session_when_it_is_right(autojump_clock: MockClock) -> None:
    session, server = await open_session(ScriptedHost())
    wrong = session.log_in("yoda", "weird")
    login = await server.expect(wire.Login)
    server.say(_error(ErrorCode.INVALID_PASSWORD, login.id))
    await _show_next(session)
    assert isinstance(await wrong.wait(), wire.Error)
    assert not session.has_begun and not session.is_connected
    right = session.log_in("yoda", "wise")
    await server.admit()
    await _show_next(session)
    assert isinstance(await right.wait(), wire.Ok)
    assert session.has_begun and session.is_connected


# -- Requests and replies ------------------------------------------------------------------


async def test_requests_are_numbered_and_find_their_replies(autojump_clock: MockClock) -> None:
    session, server = await begin_session(ScriptedHost())
    first = await session.send(wire.Message(0, "hans", "hi"))
    second = await session.send(WHOELSE)
    assert (await server.expect(wire.Message)).id == 4
    assert (await server.expect(wire.WhoElse)).id == 5
    users, ok = wire.Users(5, ("luke",)), wire.Ok(4)
    server.say(users, ok)
    batch = await session.receive()
    assert batch == [Received(users, second.request), Received(ok, first.request)]
    assert (session.unanswered, first.reply) == (2, None)
    session.shown(batch)
    assert (session.unanswered, await first.wait(), await second.wait()) == (0, ok, users)


async def test_who_asks_quietly_gets_the_reply(autojump_clock: MockClock) -> None:
    session, server = await begin_session(ScriptedHost())
    replies: list[wire.Reply] = []

    async def ask() -> None:
        replies.append(await session.ask(WHOELSE))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        request = await server.expect(wire.WhoElse)
        assert session.unanswered == 0  # of our user
        server.say(users := wire.Users(request.id, ("luke",)))
        assert await _show_next(session) == [Received(users, request, True)]
    assert replies == [users]


async def test_shown_messages_are_acknowledged_at_once_up_to_the_last(
    autojump_clock: MockClock,
) -> None:
    session, server = await begin_session(ScriptedHost())
    server.say(_delivery(3), wire.Presence("hans", False), _delivery(7))
    await _show_next(session)
    assert await server.expect(wire.Ack) == wire.Ack(7)
    server.say(wire.Presence("hans", True))
    await _show_next(session)
    session.tell(wire.Active())
    await server.expect(wire.Active)  # with no other acknowledgement before it


async def test_a_reply_to_nothing_is_a_violation(autojump_clock: MockClock) -> None:
    session, server = await begin_session(ScriptedHost())
    server.say(wire.Presence("hans", True), wire.Ok(9), wire.Presence("hans", False))
    assert await session.receive() == [Received(wire.Presence("hans", True))]
    with pytest.raises(ProtocolViolation, match="no request 9"):
        await session.receive()


async def test_a_reply_of_the_wrong_kind_is_a_violation(autojump_clock: MockClock) -> None:
    session, server = await begin_session(ScriptedHost())
    exchange = await session.send(WHOELSE)
    server.say(wire.Ok(exchange.request.id))
    with pytest.raises(ProtocolViolation, match="That is no reply to request 4"):
        await session.receive()


async def test_a_second_reply_in_one_batch_is_harmless(autojump_clock: MockClock) -> None:
    session, server = await begin_session(ScriptedHost())
    exchange = await session.send(WHOELSE)
    server.say(wire.Users(4, ("a",)), wire.Users(4, ("b",)))
    await _show_next(session)
    assert await exchange.wait() == wire.Users(4, ("a",))


# -- Bounds --------------------------------------------------------------------------------


async def test_sending_waits_while_too_many_are_unanswered(autojump_clock: MockClock) -> None:
    session, server = await begin_session(ScriptedHost())
    for _ in range(limits.REQUESTS_UNANSWERED_MAX):
        assert not session.is_full
        await session.send(WHOELSE)
    assert session.is_full
    with trio.move_on_after(1) as scope:
        await session.send(WHOELSE)
    assert scope.cancelled_caught
    assert session.unanswered == limits.REQUESTS_UNANSWERED_MAX
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.send, WHOELSE)
        await wait_all_tasks_blocked()
        server.say(wire.Users(4, ()))
        await _show_next(session)
    with trio.move_on_after(1) as scope:
        await session.wait_all_answered()
    assert scope.cancelled_caught
    server.say(*(wire.Users(id, ()) for id in range(5, limits.REQUESTS_UNANSWERED_MAX + 5)))
    await _show_next(session)
    await session.wait_all_answered()


async def test_sending_waits_while_too_much_is_unanswered(autojump_clock: MockClock) -> None:
    host = ScriptedHost(capacity_bytes=1024)  # this server reads nothing more
    session, _ = await begin_session(host)
    long = wire.Message(0, "hans", "\x01" * limits.TEXT_BYTES_MAX)
    sent: list[Exchange] = []
    with trio.move_on_after(1):
        while True:
            sent.append(await session.send(long))
    assert 2 < len(sent) < limits.REQUESTS_UNANSWERED_MAX


# -- Coming back -----------------------------------------------------------------------------


async def _lose(session: Session, server: ScriptedServer) -> None:
    server.transport.close()
    with pytest.raises(ConnectionLost):
        await session.receive()
    assert session.has_begun and not session.is_connected


async def _resume(session: Session, host: ScriptedHost) -> ScriptedServer:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.resume)
        server = await host.accept()
        await server.admit_again()
    assert session.is_connected
    return server


async def test_what_had_no_reply_is_sent_again_in_order(autojump_clock: MockClock) -> None:
    host = ScriptedHost()
    session, server = await begin_session(host)
    answered = await session.send(wire.Message(0, "hans", "one"))
    await session.send(wire.Message(0, "hans", "two"))
    server.say(wire.Ok(answered.request.id))
    await _show_next(session)
    await _lose(session, server)
    await session.send(wire.Message(0, "luke", "three"))  # typed meanwhile
    assert session.unanswered == 2
    server = await _resume(session, host)
    assert await server.next() == wire.Message(5, "hans", "two")
    assert await server.next() == wire.Message(6, "luke", "three")
    server.say(wire.Ok(5), wire.Ok(6))
    await _show_next(session)
    await session.wait_all_answered()


async def test_where_others_reach_us_is_told_before_each_login(autojump_clock: MockClock) -> None:
    host = ScriptedHost()
    session, server = await open_session(host)
    session.tell(listening := wire.Listening(4001, b"certificate"))
    session.log_in("yoda", "wise")
    await server.admit(token="first")
    await _show_next(session)
    await _lose(session, server)
    session.tell(wire.Active())  # nobody hears it
    server = await _resume(session, host)
    assert server.listening == listening
    session.tell(wire.Active())
    assert await server.next() == wire.Active()


async def test_what_comes_before_and_behind_the_login_is_received(
    autojump_clock: MockClock,
) -> None:
    host = ScriptedHost()
    session, server = await begin_session(host)
    await _lose(session, server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.resume)
        server = await host.accept()
        await server.greet()
        resume = await server.expect(wire.Resume)
        here, token = wire.Presence("hans", True), wire.Token("second")
        server.say(here)
        await wait_all_tasks_blocked()
        server.say(token, wire.Ok(resume.id), _delivery(1))
    batch = await _show_next(session)
    assert [received.message for received in batch] == [here, token, _delivery(1)]
    assert await server.next() == wire.Ack(1)
    await _lose(session, server)
    async with trio.open_nursery() as nursery:  # the next time with the next token
        nursery.start_soon(session.resume)
        server = await host.accept()
        await server.admit_again(token="second")


async def test_the_first_deliveries_had_to_wait_for_the_login(autojump_clock: MockClock) -> None:
    host = ScriptedHost()
    session, server = await open_session(host)
    session.log_in("yoda", "wise")
    login = await server.expect(wire.Login)
    first = [_delivery(1), _delivery(2)]
    server.say(wire.Token("first"), wire.Ok(login.id, waiting=1), *first)
    assert [received.has_waited for received in await _show_next(session)] == [
        *(False, False),
        *(True, False),
    ]
    await _lose(session, server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.resume)
        server = await host.accept()
        await server.greet()
        resume = await server.expect(wire.Resume)
        server.say(wire.Ok(resume.id, waiting=2), _delivery(3))
    assert [received.has_waited for received in await _show_next(session)] == [True]
    server.say(_delivery(4), _delivery(5))
    assert [received.has_waited for received in await _show_next(session)] == [True, False]


async def test_without_a_token_that_holds_the_password_serves(autojump_clock: MockClock) -> None:
    host = ScriptedHost()
    session, server = await begin_session(host)
    await session.send(WHOELSE)
    await _lose(session, server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.resume)
        server = await host.accept()
        await server.greet()
        resume = await server.expect(wire.Resume)
        server.say(_error(ErrorCode.INVALID_TOKEN, resume.id))
        login = await server.expect(wire.Login)
        assert resume.id < login.id < 4
        assert (login.user, login.password) == ("yoda", "wise")
        server.say(wire.Ok(login.id))
        assert (await server.expect(wire.WhoElse)).id == 4
    assert session.is_connected


async def test_without_any_token_the_password_serves_at_once(autojump_clock: MockClock) -> None:
    host = ScriptedHost()
    session, server = await open_session(host)
    session.log_in("yoda", "wise")
    await server.admit()
    await _show_next(session)
    await _lose(session, server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.resume)
        server = await host.accept()
        await server.greet()
        await server.admit()
    assert session.is_connected


@pytest.mark.parametrize("code", [ErrorCode.INVALID_PASSWORD, ErrorCode.ALREADY_ONLINE])
async def test_a_server_that_does_not_take_us_back(
    autojump_clock: MockClock, code: ErrorCode
) -> None:
    host = ScriptedHost()
    session, server = await begin_session(host)
    waiting = await session.send(WHOELSE)
    await _lose(session, server)
    async with trio.open_nursery() as nursery:

        async def refuse() -> None:
            server = await host.accept()
            await server.greet()
            resume = await server.expect(wire.Resume)
            server.say(_error(ErrorCode.INVALID_TOKEN, resume.id))
            login = await server.expect(wire.Login)
            server.say(_error(code, login.id))
            with trio.fail_after(1):
                assert await server.transport.receive() == b""

        nursery.start_soon(refuse)
        with pytest.raises(UnreachableError) as caught:
            await session.resume()
    assert caught.value.code is code
    assert not session.is_connected
    session.close()
    with pytest.raises(ConnectionLost):
        await waiting.wait()
    with pytest.raises(ConnectionLost):
        await session.send(WHOELSE)
    await session.wait_all_answered()


async def test_a_refused_token_is_told_as_it_is(autojump_clock: MockClock) -> None:
    host = ScriptedHost()
    session, server = await begin_session(host)
    await _lose(session, server)
    async with trio.open_nursery() as nursery:

        async def refuse() -> None:
            server = await host.accept()
            await server.greet()
            resume = await server.expect(wire.Resume)
            server.say(_error(ErrorCode.TOO_MANY_ATTEMPTS, resume.id))

        nursery.start_soon(refuse)
        with pytest.raises(UnreachableError, match="try again in 5 seconds") as caught:
            await session.resume()
    assert caught.value.code is ErrorCode.TOO_MANY_ATTEMPTS


async def test_a_login_that_is_not_answered_ends(autojump_clock: MockClock) -> None:
    host = ScriptedHost()
    session, server = await begin_session(host)
    await _lose(session, server)
    async with trio.open_nursery() as nursery:

        async def say_nothing() -> None:
            await (await host.accept()).greet()

        nursery.start_soon(say_nothing)
        with pytest.raises(UnreachableError, match="does not answer"):
            await session.resume()
    assert trio.current_time() == limits.RESUME_SECONDS_MAX


async def test_another_server_in_its_place_is_not_trusted(autojump_clock: MockClock) -> None:
    host = ScriptedHost()
    session, server = await begin_session(host)
    await _lose(session, server)
    host.failures = [FailureError("it is not the one that it was")]
    with pytest.raises(FailureError, match="not the one"):
        await session.resume()


async def test_who_gave_up_asking_is_not_asked_for_again(autojump_clock: MockClock) -> None:
    host = ScriptedHost()
    session, server = await begin_session(host)
    await _lose(session, server)
    with trio.move_on_after(1) as gave_up:
        await session.ask(WHOELSE)
    assert gave_up.cancelled_caught
    await session.send(wire.Message(0, "hans", "hi"))
    server = await _resume(session, host)
    assert isinstance(await server.next(), wire.Message)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (wire.Block(0, "hans"), ErrorCode.ALREADY_BLOCKED),
        (wire.Unblock(0, "hans"), ErrorCode.NOT_BLOCKED),
    ],
)
async def test_what_was_done_before_its_reply_was_lost_is_done(
    autojump_clock: MockClock, request_: wire.Block | wire.Unblock, code: ErrorCode
) -> None:
    host = ScriptedHost()
    session, server = await begin_session(host)
    await session.send(request_)
    await _lose(session, server)
    await session.send(request_)  # for this one it is an error
    server = await _resume(session, host)
    server.say(_error(code, 4), _error(code, 5))
    batch = await _show_next(session)
    assert [received.message for received in batch] == [wire.Ok(4), _error(code, 5)]


async def test_a_server_that_stops_to_read_is_lost(autojump_clock: MockClock) -> None:
    """What is said without asking is bounded too, and another connection is used then."""
    host = ScriptedHost(capacity_bytes=1024)
    session, server = await begin_session(host)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        for _ in range(limits.OUTBOX_BYTES_MAX // 10):
            session.tell(wire.Active())
        with pytest.raises(ConnectionLost):
            await session.receive()
        server = await _resume(session, host)
        long = wire.Message(0, "hans", "a" * 5000)  # more than it takes at once
        await session.send(long)
        assert (await server.expect(wire.Message)).text == long.text
        nursery.cancel_scope.cancel()
