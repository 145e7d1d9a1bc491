"""Section 3.1 on the wire: authentication, blocking, one session for each user."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.errors import ErrorCode
from trio_chat.net.memory import MemoryTransport
from trio_chat.protocol import messages as wire

from .harness import SETTINGS, Chat, Client, password_of, pause

BLOCK_SECONDS = SETTINGS.block_seconds


async def fail(client: Client, user: str) -> ErrorCode:
    reply = await client.try_login(user, "wrong")
    assert isinstance(reply, wire.Error)
    return reply.code


async def block(chat: Chat, user: str) -> None:
    stranger = await chat.greeted()
    for _ in range(limits.LOGIN_FAILURES_MAX):
        await fail(stranger, user)
    assert await stranger.last_words() == []


async def attempt(chat: Chat, user: str) -> wire.Reply:
    return await (await chat.greeted()).try_login(user, password_of(user))


def refusal(code: ErrorCode, number: int = 1) -> wire.Error:
    return wire.Error(code, code.describe(), number)


async def test_a_client_may_try_again_after_a_wrong_password(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.greeted()
    assert await hans.try_login("hans", "wrong") == refusal(ErrorCode.INVALID_PASSWORD)
    assert await hans.try_login("hans", password_of("hans")) == wire.Ok(2)
    assert await hans.users(wire.WhoElse) == []


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("nobody", "wrong"),
        ("Hans", password_of("hans")),
        ("hans ", password_of("hans")),
        ("hans", password_of("hans") + " "),
        ("hans", password_of("yoda")),
        ("hans", ""),
        ("", ""),
        ("n" * 5000, "p" * 5000),
        ("\0\n\x1b", "\0"),
    ],
)
async def test_what_is_not_exactly_in_the_credentials_is_one_and_the_same_error(
    autojump_clock: MockClock, chat: Chat, user: str, password: str
) -> None:
    client = await chat.greeted()
    assert await client.try_login(user, password) == refusal(ErrorCode.INVALID_PASSWORD)


@pytest.mark.parametrize("user", ["hans", "nobody"])
async def test_the_third_failure_over_several_connections_blocks_the_name_and_closes(
    autojump_clock: MockClock, chat: Chat, user: str
) -> None:
    first, second = await chat.greeted(), await chat.greeted()
    assert await fail(first, user) is ErrorCode.INVALID_PASSWORD
    assert await fail(second, user) is ErrorCode.INVALID_PASSWORD
    assert await fail(first, user) is ErrorCode.NOW_BLOCKED
    assert await first.last_words() == []
    assert await fail(second, user) is ErrorCode.STILL_BLOCKED
    assert await second.last_words() == []


async def test_a_blocked_name_is_refused_with_its_password_for_exactly_the_block_time(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    await block(chat, "hans")
    assert await attempt(chat, "hans") == refusal(ErrorCode.STILL_BLOCKED)
    await pause(BLOCK_SECONDS - 0.001)
    assert await attempt(chat, "hans") == refusal(ErrorCode.STILL_BLOCKED)
    await pause(0.001)
    assert await attempt(chat, "hans") == wire.Ok(1)


async def test_attempts_during_a_block_do_not_make_it_longer_and_failures_count_anew_after_it(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    await block(chat, "hans")
    await pause(BLOCK_SECONDS / 2)
    assert await fail(await chat.greeted(), "hans") is ErrorCode.STILL_BLOCKED
    await pause(BLOCK_SECONDS / 2)
    assert await fail(await chat.greeted(), "hans") is ErrorCode.INVALID_PASSWORD
    assert await attempt(chat, "hans") == wire.Ok(1)


async def test_a_block_concerns_one_name_only(autojump_clock: MockClock, chat: Chat) -> None:
    await block(chat, "hans")
    assert await attempt(chat, "yoda") == wire.Ok(1)


async def test_a_success_in_between_resets_the_count(autojump_clock: MockClock, chat: Chat) -> None:
    for _ in range(3):
        hans = await chat.greeted()
        await fail(hans, "hans")
        await fail(hans, "hans")
        assert await hans.try_login("hans", password_of("hans")) == wire.Ok(3)
        await hans.log_out()


async def test_guesses_that_do_not_wait_for_their_answer_count_too(
    autojump_clock: MockClock, chat: Chat
) -> None:
    for _ in range(limits.LOGIN_FAILURES_MAX):
        stranger = await chat.greeted()
        await stranger.begin(wire.Login, user="hans", password="wrong")
        stranger.drop()
    await chat.expect_served()
    assert await attempt(chat, "hans") == refusal(ErrorCode.STILL_BLOCKED)


async def test_who_is_online_stays_so_while_the_name_is_blocked(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.login("hans")
    await block(chat, "hans")
    assert await hans.users(wire.WhoElse) == []


async def test_a_second_login_is_refused_and_does_not_disturb_the_first(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.login("hans")
    second = await chat.greeted()
    reply = await second.try_login("hans", password_of("hans"))
    assert reply == refusal(ErrorCode.ALREADY_ONLINE)
    assert await second.last_words() == []
    assert await hans.users(wire.WhoElse) == []
    await hans.log_out()
    assert await attempt(chat, "hans") == wire.Ok(1)


async def test_a_name_is_free_at_once_when_its_connection_breaks(
    autojump_clock: MockClock, chat: Chat
) -> None:
    (await chat.login("hans")).drop()
    await chat.expect_served()
    assert await attempt(chat, "hans") == wire.Ok(1)


async def test_login_has_to_be_done_in_time_and_failures_do_not_extend_it(
    autojump_clock: MockClock, chat: Chat
) -> None:
    silent, failing = await chat.connect(), await chat.greeted()
    await fail(failing, "hans")
    await silent.expect_nothing(limits.LOGIN_SECONDS_MAX - 0.001)
    await fail(failing, "hans")
    assert await silent.closed() is ErrorCode.LOGIN_TIMEOUT
    assert await failing.closed() is ErrorCode.LOGIN_TIMEOUT
    await chat.expect_served()


async def test_what_a_handshake_has_taken_is_not_given_again(
    autojump_clock: MockClock, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected_at = property(lambda _: trio.current_time() - 100, lambda *_: None)
    monkeypatch.setattr(MemoryTransport, "connected_at", connected_at, raising=False)
    silent = await chat.connect()
    await silent.expect_nothing(limits.LOGIN_SECONDS_MAX - 100.001)
    assert await silent.closed() is ErrorCode.LOGIN_TIMEOUT


async def test_another_version_of_the_protocol_is_named_and_refused(
    autojump_clock: MockClock, chat: Chat
) -> None:
    client = await chat.connect()
    await client.send(wire.Hello(wire.PROTOCOL_VERSION + 1))
    [error] = await client.last_words()
    assert isinstance(error, wire.Error)
    assert error.code is ErrorCode.WRONG_VERSION
    assert f"version {wire.PROTOCOL_VERSION}, the client version 2" in error.text


async def test_logout_is_answered_and_ends_the_connection(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.login("hans")
    await hans.send(wire.Logout(2), wire.WhoElse(3))
    assert await hans.last_words() == [wire.Ok(2)]
