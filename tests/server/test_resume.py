"""Session tokens on the wire: a client whose connection broke goes on as if nothing had happened."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire

from .harness import SETTINGS, Chat, Client, GatedStore, password_of, pause, running_chat


async def greeted(chat: Chat, user: str) -> Client:
    """A user's only client, on a new connection, which wants tokens."""
    client = await chat.connect(f"pc-{user}")
    await client.greet(wire.RESUME)
    return client


async def login(chat: Chat, user: str) -> tuple[Client, str]:
    client = await greeted(chat, user)
    number = await client.begin(wire.Login, user=user, password=password_of(user))
    token = await client.event()
    assert isinstance(token, wire.Token)
    assert _answers(await client.event(), number)
    return client, token.token


async def resume(chat: Chat, user: str, token: str, *, number: int = 1) -> tuple[Client, str]:
    client = await greeted(chat, user)
    client.number = number - 1
    await client.begin(wire.Resume, user=user, token=token)
    new = await client.event()
    assert isinstance(new, wire.Token)
    assert _answers(await client.event(), number)
    return client, new.token


def _answers(reply: wire.ServerMessage | None, number: int) -> bool:
    return isinstance(reply, wire.Ok) and reply.id == number


async def test_a_client_takes_its_session_along_and_nobody_else_notices(
    autojump_clock: MockClock, chat: Chat
) -> None:
    yoda = await chat.login("yoda")
    hans, token = await login(chat, "hans")
    await yoda.expect(wire.Presence)
    for number in range(10):
        lost = hans
        hans, new = await resume(chat, "hans", token)
        assert new != token
        assert await lost.closed() is ErrorCode.REPLACED
        token = new
        assert await yoda.users(wire.WhoElse) == ["hans"], number
    await yoda.expect_nothing()
    await hans.log_out()
    assert await yoda.event() == wire.Presence("hans", online=False)


async def test_every_token_is_another_one_and_long(autojump_clock: MockClock, chat: Chat) -> None:
    tokens = [(await login(chat, f"user{number}"))[1] for number in range(20)]
    assert len(set(tokens)) == 20
    assert min(map(len, tokens)) * 6 >= 256


async def test_messages_on_their_way_both_ways_arrive_once_over_a_takeover(
    autojump_clock: MockClock, chat: Chat, store: GatedStore
) -> None:
    yoda = await chat.login("yoda")
    hans, token = await login(chat, "hans")
    await yoda.expect(wire.Presence)
    store.shut()
    ids = [await yoda.begin(wire.Message, to="hans", text=f"to {n}") for n in range(300)]
    requests = [wire.Message(10 + n, "yoda", f"from {n}") for n in range(300)]
    await hans.send(*requests)
    shown = [await hans.expect(wire.Delivery) for _ in range(limits.WINDOW_MESSAGES_MAX)]
    await hans.acknowledge(shown[99].seq)
    await pause(1)
    store.open()

    # Its connection is dead, though nobody knows. It saw no answer, and sends everything again.
    hans, _ = await resume(chat, "hans", token)
    await hans.send(*requests)
    assert await hans.text() == "to 100"
    texts = ["to 100"]
    while len(texts) < 200:
        delivery = await hans.expect(wire.Delivery)
        texts.append(delivery.text)
        await hans.acknowledge(delivery.seq)
    assert texts == [f"to {n}" for n in range(100, 300)]
    assert {await yoda.expect(wire.Ok) for _ in ids} == {wire.Ok(id) for id in ids}

    texts = []
    while len(texts) < 300:
        delivery = await yoda.expect(wire.Delivery)
        texts.append(delivery.text)
        await yoda.acknowledge(delivery.seq)
    assert texts == [f"from {n}" for n in range(300)]
    assert {await hans.expect(wire.Ok) for _ in requests} == {wire.Ok(r.id) for r in requests}
    await yoda.expect_nothing()
    await hans.expect_nothing()


async def test_what_waits_on_disk_comes_right_behind_the_answer(
    autojump_clock: MockClock, chat: Chat
) -> None:
    yoda = await chat.login("yoda")
    hans, token = await login(chat, "hans")
    hans.drop()
    await yoda.ok(wire.Message, to="hans", text="while you were away")
    hans, _ = await resume(chat, "hans", token)
    delivery = await hans.event()
    assert isinstance(delivery, wire.Delivery)
    assert delivery.text == "while you were away"


async def test_the_lost_connection_can_do_nothing_any_more(
    autojump_clock: MockClock, chat: Chat
) -> None:
    yoda = await chat.login("yoda")
    lost, token = await login(chat, "hans")
    hans, _ = await resume(chat, "hans", token)
    await lost.send(wire.Broadcast(20, "from the grave"), wire.Logout(21))
    assert await lost.closed() is ErrorCode.REPLACED
    assert await hans.users(wire.WhoElse) == ["yoda"]
    assert await yoda.event() == wire.Presence("hans", online=True)
    await yoda.expect_nothing()


async def test_after_a_logout_the_password_is_needed_again_on_the_same_connection(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, token = await login(chat, "hans")
    await hans.log_out()
    hans = await greeted(chat, "hans")
    refused = await hans.refused(wire.Resume, user="hans", token=token)
    assert refused == wire.Error(
        ErrorCode.INVALID_TOKEN, "Your session has ended. Please log in again", 1
    )
    await hans.ok(wire.Login, user="hans", password=password_of("hans"))


async def test_who_was_logged_out_for_idleness_needs_the_password(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, token = await login(chat, "hans")
    await pause(SETTINGS.idle_seconds)
    assert await hans.closed() is ErrorCode.IDLE
    hans = await greeted(chat, "hans")
    refused = await hans.refused(wire.Resume, user="hans", token=token)
    assert refused.code is ErrorCode.INVALID_TOKEN


async def test_strangers_do_not_stop_a_known_client(autojump_clock: MockClock, chat: Chat) -> None:
    hans, token = await login(chat, "hans")
    stranger = await chat.greeted()
    for _ in range(limits.LOGIN_FAILURES_MAX):
        await stranger.try_login("hans", "guess")
    hans.drop()
    other = await (await chat.greeted()).try_login("hans", password_of("hans"))
    assert isinstance(other, wire.Error)
    assert other.code is ErrorCode.STILL_BLOCKED
    await resume(chat, "hans", token)


async def test_who_guesses_tokens_disturbs_nobody(autojump_clock: MockClock, chat: Chat) -> None:
    hans, token = await login(chat, "hans")
    guesses = [
        wire.Resume(number, "hans", guess)
        for number, guess in enumerate(("", "x" * 10_000, token[:-1], token + "=", "\0", "ü"), 1)
    ]
    stranger = await greeted(chat, "hans")
    for guess in guesses:
        await stranger.send(guess)
        reply = await stranger.reply(guess.id)
        assert isinstance(reply, wire.Error)
        assert reply.code is ErrorCode.INVALID_TOKEN
    assert await hans.users(wire.WhoElse) == []
    await chat.expect_served()


async def test_a_new_server_knows_no_token(autojump_clock: MockClock, chat: Chat) -> None:
    _, token = await login(chat, "hans")
    await chat.restart()
    hans = await greeted(chat, "hans")
    refused = await hans.refused(wire.Resume, user="hans", token=token)
    assert refused.code is ErrorCode.INVALID_TOKEN


async def test_tokens_are_not_in_the_debug_log(autojump_clock: MockClock) -> None:
    async with running_chat(debug=True) as chat:
        _, token = await login(chat, "hans")
        _, new = await resume(chat, "hans", token)
        await trio.testing.wait_all_tasks_blocked()
        assert any("resume" in line for line in chat.log)
        assert not any(secret in line for line in chat.log for secret in (token, new))
