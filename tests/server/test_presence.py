"""Section 3.1 and 3.3 on the wire: presence, timeout, whoelse, whoelsesince."""

from __future__ import annotations

from trio.testing import MockClock

from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire

from .harness import SETTINGS, Chat, Client, pause

IDLE_SECONDS = SETTINGS.idle_seconds


async def test_others_are_told_of_a_login_and_of_every_kind_of_logout(
    autojump_clock: MockClock, chat: Chat
) -> None:
    yoda = await chat.login("yoda")
    for leave in (Client.log_out, Client.last_words):
        hans = await chat.login("hans")
        assert await yoda.event() == wire.Presence("hans", online=True)
        if leave is Client.last_words:
            hans.transport.send_eof()
        await leave(hans)
        assert await yoda.event() == wire.Presence("hans", online=False)
    hans = await chat.login("hans")
    hans.drop()
    assert await yoda.event() == wire.Presence("hans", online=True)
    assert await yoda.event() == wire.Presence("hans", online=False)
    await yoda.expect_nothing()


async def test_nobody_is_told_of_failed_logins_or_of_themselves(
    autojump_clock: MockClock, chat: Chat
) -> None:
    yoda = await chat.login("yoda")
    await (await chat.greeted()).try_login("hans", "wrong")
    await (await chat.greeted()).try_login("yoda", "wrong")
    (await chat.connect()).drop()
    await yoda.expect_nothing()


async def test_whoelse_lists_the_others_who_are_online_now(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, _, luke = [await chat.login(user) for user in ("hans", "yoda", "luke")]
    assert await hans.users(wire.WhoElse) == ["yoda", "luke"]
    await luke.log_out()
    assert await hans.users(wire.WhoElse) == ["yoda"]


async def test_whoelsesince_lists_whoever_was_online_at_any_moment_of_that_time(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    hans, yoda, _ = [await chat.login(user) for user in ("hans", "yoda", "luke")]
    await pause(10)
    await yoda.log_out()
    await pause(20)
    assert await hans.users(wire.WhoElseSince, seconds=19.999) == ["luke"]
    assert await hans.users(wire.WhoElseSince, seconds=20) == ["luke", "yoda"]
    assert await hans.users(wire.WhoElseSince, seconds=0) == ["luke"]
    assert await hans.users(wire.WhoElseSince, seconds=1e300) == ["luke", "yoda"]
    await chat.login("yoda")
    assert await hans.users(wire.WhoElseSince, seconds=0) == ["luke", "yoda"]


async def test_login_history_ends_with_the_server(autojump_clock: MockClock, chat: Chat) -> None:
    await (await chat.login("yoda")).log_out()
    await chat.restart()
    hans = await chat.login("hans")
    assert await hans.users(wire.WhoElseSince, seconds=1000) == []


async def test_who_enters_nothing_is_logged_out_in_time_and_the_others_are_told(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    hans = await chat.login("hans")
    await pause(1)
    yoda = await chat.login("yoda")
    await hans.expect(wire.Presence)
    await hans.expect_nothing(IDLE_SECONDS - 1.2)  # he was told a moment later
    [closed] = await hans.last_words()
    assert closed == wire.Closed(
        ErrorCode.IDLE, "You have been logged out after 300 seconds without activity"
    )
    assert await yoda.event() == wire.Presence("hans", online=False)
    await chat.login("hans")


async def test_messages_received_and_acknowledged_keep_nobody_online(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    for _ in range(3):
        await pause(IDLE_SECONDS / 4)
        await yoda.tell(hans, "hans", "still there?")
    await pause(IDLE_SECONDS / 4)
    assert await hans.closed() is ErrorCode.IDLE


async def test_every_request_and_a_line_that_needs_no_server_keep_a_user_online(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    hans = await chat.login("hans")
    for step in (
        hans.users(wire.WhoElse),
        hans.send(wire.Active()),
        hans.refused(wire.Message, to="nobody", text="Hello?"),
    ):
        await pause(IDLE_SECONDS - 0.001)
        await step
    await pause(IDLE_SECONDS - 0.001)
    assert await hans.users(wire.WhoElse) == []
    assert await hans.closed() is ErrorCode.IDLE
