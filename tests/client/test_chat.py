from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat.client.chat import LOGOUT_SECONDS_MAX
from trio_chat.client.notice import Kind
from trio_chat.client.state import keys_path
from trio_chat.client.status import Line
from trio_chat.client.terminal import TerminalGone
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire

from .scene import SERVER_GONE, TRYING, Scene, delivery, error, open_scene
from .scripted import WELCOME

# -- Login -----------------------------------------------------------------------------------


async def test_successful_login(scene: Scene, autojump_clock: MockClock) -> None:
    """Section 8, case 1."""
    scene.person.type("yoda", "wise")
    await scene.server.admit()
    await scene.person.see("Username: ")
    await scene.person.see("Password: ")
    await scene.person.see(WELCOME)
    scene.person.type("logout")
    await scene.server.dismiss()
    assert await scene.end() == 0
    assert scene.person.screen == []


async def test_unsuccessful_login(scene: Scene, autojump_clock: MockClock) -> None:
    """Section 8, case 2: only the password is asked again, and the third failure ends it."""
    scene.person.type("yoda")
    for number, password in enumerate(("weird", "green", "password"), start=3):
        await scene.person.see("Password: ")
        scene.person.type(password)
        assert await scene.server.expect(wire.Login) == wire.Login(number, "yoda", password)
        code = ErrorCode.INVALID_PASSWORD if number < 5 else ErrorCode.NOW_BLOCKED
        scene.server.say(error(code, number))
        if number < 5:
            await scene.person.see("Invalid Password. Please try again")
    assert await scene.end() == 6
    assert scene.person.screen == [
        "Invalid Password. Your account has been blocked. Please try again later"
    ]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.STILL_BLOCKED, 6),
        (ErrorCode.ALREADY_ONLINE, 5),
        (ErrorCode.LOGIN_BUSY, 1),
    ],
)
async def test_a_login_that_is_refused_for_good(
    scene: Scene, autojump_clock: MockClock, code: ErrorCode, status: int
) -> None:
    scene.person.type("yoda", "wise")
    login = await scene.server.expect(wire.Login)
    scene.server.say(error(code, login.id))
    assert await scene.end() == status
    assert scene.person.screen[-1] == code.text


async def test_an_empty_password_goes_back_to_the_name(
    scene: Scene, autojump_clock: MockClock
) -> None:
    """Who has mistyped the name need not try three passwords; and nothing is tried for it."""
    scene.person.type("yodda", "", "yodaa", "wise")
    login = await scene.server.expect(wire.Login)
    assert login.user == "yodaa"
    scene.server.say(error(ErrorCode.INVALID_PASSWORD, login.id))
    await scene.person.see("Invalid Password. Please try again")
    scene.person.type("", "yoda", "wise")
    await scene.server.admit()
    await scene.person.see(WELCOME)
    scene.person.type("logout")
    await scene.server.dismiss()


async def test_an_input_that_ends_after_a_wrong_password_tells_so(
    script: Scene, autojump_clock: MockClock
) -> None:
    script.person.type("yoda", "weird")
    script.person.type_end()
    login = await script.server.expect(wire.Login)
    script.server.say(error(ErrorCode.INVALID_PASSWORD, login.id))
    assert await script.end() == 4
    assert script.person.screen[-1] == "The input ended before anybody was logged in"


async def test_an_empty_or_impossible_name_is_asked_again(
    scene: Scene, autojump_clock: MockClock
) -> None:
    scene.person.type("", "  ", "x" * 65, "yoda", "p" * 1025, "wise")
    await scene.server.admit()
    await scene.person.see("Error. A user name can have at most 64 bytes")
    await scene.person.see("Error. A password can have at most 1024 bytes")
    await scene.person.see(WELCOME)
    scene.person.type_end()
    await scene.server.dismiss()


async def test_the_server_ends_it_while_the_prompt_is_open(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.person.see("Username: ")
    text = ErrorCode.LOGIN_TIMEOUT.text
    scene.server.say(wire.Closed(ErrorCode.LOGIN_TIMEOUT, text))
    assert await scene.end() == 1
    assert scene.person.screen == [text]


async def test_input_that_ends_before_login(scene: Scene, autojump_clock: MockClock) -> None:
    scene.person.type("yoda")
    scene.person.type_end()
    assert await scene.end() == 1
    assert scene.person.screen == ["Username: ", "Password: "]


async def test_a_script_that_ends_before_login_is_told(
    script: Scene, autojump_clock: MockClock
) -> None:
    script.person.type_end()
    assert await script.end() == 1
    assert script.person.screen[-1] == "The input ended before anybody was logged in"


# -- Messages --------------------------------------------------------------------------------


async def test_what_is_typed_is_sent_and_answered(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.log_in()
    scene.person.type("message bob party time", "broadcast I rock", "whoelse", "block hans")
    message = await scene.server.expect(wire.Message)
    assert (message.to, message.text) == ("bob", "party time")
    broadcast = await scene.server.expect(wire.Broadcast)
    whoelse = await scene.server.expect(wire.WhoElse)
    block = await scene.server.expect(wire.Block)
    scene.server.say(
        error(ErrorCode.UNKNOWN_USER, message.id),
        wire.Sent(broadcast.id, complete=False),
        wire.Users(whoelse.id, ("yoda", "luke")),
        wire.Ok(block.id),
    )
    await scene.person.see("hans is blocked")
    assert scene.person.batches[-1] == [
        "Error. Invalid user",
        "Your message could not be delivered to some recipients",
        "yoda",
        "luke",
        "hans is blocked",
    ]
    scene.person.type("logout")
    await scene.server.dismiss()
    assert await scene.end() == 0


async def test_a_batch_is_shown_at_once_and_acknowledged_once(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in(*(delivery(seq, f"m{seq}") for seq in range(1, 501)))
    await scene.server.expect(wire.Ack)
    assert scene.person.batches == [[WELCOME, *(f"hans: m{seq}" for seq in range(1, 501))]]
    assert scene.server.requests[-1] == wire.Ack(500)
    scene.person.type_end()
    await scene.server.dismiss()


async def test_a_message_is_acknowledged_after_it_was_shown(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in()
    scene.person.failure = TerminalGone()
    scene.server.say(delivery(1, "nobody reads this"))
    assert await scene.end() == 1
    await wait_all_tasks_blocked()
    assert not any(isinstance(request, wire.Ack) for request in scene.server.requests)


async def test_a_key_is_shown_once_over_restarts_and_always_acknowledged(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    for seqs, fresh in (((1, 2), ["hans: m1"]), ((3, 4), [])):
        async with open_scene(tmp_path) as scene:
            await scene.log_in(*(delivery(seq, "m1", id=1) for seq in seqs))
            assert await scene.server.expect(wire.Ack) == wire.Ack(seqs[-1])
            assert scene.person.batches == [[WELCOME, *fresh]]
            scene.person.type_end()
            await scene.server.dismiss()


@pytest.mark.parametrize("slow_seconds", [LOGOUT_SECONDS_MAX + 1, 1000.0])
async def test_what_a_slow_screen_shows_at_the_end_is_shown_once_or_the_end_comes_in_time(
    slow_seconds: float, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_scene(tmp_path) as scene:
        await scene.log_in()
        scene.person.slow_seconds = slow_seconds
        scene.server.say(delivery(1, "hey dude"))
        await scene.person.see("hans: hey dude")
        scene.person.type("logout")
        assert await scene.end() == 0
    is_remembered = keys_path(tmp_path, "server:4000", "yoda").exists()
    assert is_remembered is (slow_seconds < 3 * LOGOUT_SECONDS_MAX)


async def test_an_unwritable_state_directory_is_told_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    (tmp_path / "file").write_text("")
    async with open_scene(tmp_path / "file") as scene:
        await scene.log_in(delivery(1, "hi"))
        scene.server.say(delivery(2, "there"))
        await scene.person.see("hans: there")
        notices = [
            line for batch in scene.person.batches for line in batch if "Cannot remember" in line
        ]
        assert len(notices) == 1
        scene.person.type_end()
        for _ in range(2):
            await scene.server.expect(wire.Ack)
        await scene.server.dismiss()


# -- The end -----------------------------------------------------------------------------------


async def test_a_script_ends_when_everything_is_answered(
    script: Scene, autojump_clock: MockClock
) -> None:
    await script.log_in()
    script.person.type("message hans 1", "message hans 2")
    script.person.type_end()
    ids = [(await script.server.expect(wire.Message)).id for _ in range(2)]
    for id in ids:
        await trio.sleep(10 * LOGOUT_SECONDS_MAX)
        script.server.say(wire.Ok(id))
    await script.server.dismiss()
    assert await script.end() == 0


async def test_a_person_is_not_kept_waiting(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.log_in()
    scene.person.type("message hans 1", "logout")
    await scene.server.expect(wire.Message)
    before = trio.current_time()
    await scene.server.expect(wire.Logout)
    assert await scene.end() == 1
    assert trio.current_time() - before <= 2 * LOGOUT_SECONDS_MAX
    assert scene.person.screen == ["1 request was not answered, so it may not have been done"]


async def test_a_logout_that_is_not_confirmed_is_one(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in()
    scene.person.type("logout")
    await scene.server.expect(wire.Logout)
    scene.server.transport.close()
    assert await scene.end() == 0


async def test_the_server_has_gone(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.log_in()
    scene.server.transport.close()
    assert await scene.end() == 1
    assert scene.person.screen == [SERVER_GONE]


async def test_the_server_has_gone_without_an_answer(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in()
    scene.person.type("message hans 1", "message hans 2")
    await scene.server.expect(wire.Message)
    await scene.server.expect(wire.Message)
    scene.server.transport.close()
    assert await scene.end() == 1
    assert scene.person.screen == [
        f"{SERVER_GONE}. 2 requests were not answered, so they may not have been done"
    ]


async def test_last_words_do_not_wait_for_a_screen_that_takes_none(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in()
    scene.person.slow_seconds = 1000.0
    before = trio.current_time()
    scene.server.transport.close()
    assert await scene.end() == 1
    assert trio.current_time() == before + LOGOUT_SECONDS_MAX


@pytest.mark.parametrize("code", [ErrorCode.IDLE, ErrorCode.REPLACED])
async def test_the_server_closes_the_session_without_an_answer(
    scene: Scene, autojump_clock: MockClock, code: ErrorCode
) -> None:
    await scene.log_in()
    scene.person.type("message hans 1")
    await scene.server.expect(wire.Message)
    text = code.describe(seconds=120)
    scene.server.say(wire.Closed(code, text))
    assert await scene.end() == 1
    assert scene.person.screen == [
        f"{text}. 1 request was not answered, so it may not have been done"
    ]
    notice = scene.person.notices[-1]
    assert (notice.kind, notice.fields["code"]) == (Kind.CLOSED, code.value)
    assert notice.fields["text"] == scene.person.screen[0]


async def test_the_server_closes_the_session_instead_of_a_logout(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in()
    scene.person.type("logout")
    await scene.server.expect(wire.Logout)
    text = ErrorCode.IDLE.describe(seconds=120)
    scene.server.say(wire.Closed(ErrorCode.IDLE, text))
    assert await scene.end() == 1
    assert scene.person.screen == [text]


async def test_the_server_closes_the_session(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.log_in()
    text = ErrorCode.IDLE.describe(seconds=120)
    scene.server.say(delivery(1, "last words"), wire.Closed(ErrorCode.IDLE, text))
    assert await scene.end() == 1
    assert scene.person.screen == ["hans: last words", text]
    assert await scene.server.expect(wire.Ack) == wire.Ack(1)


async def test_an_error_without_a_request_is_the_end(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in()
    scene.server.say(wire.Error(ErrorCode.BAD_LINE, "Protocol error. Not JSON"))
    assert await scene.end() == 1
    assert scene.person.screen == ["Protocol error. Not JSON"]


async def test_a_server_that_breaks_the_protocol(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.log_in()
    scene.server.say_bytes(b"\x1b[31mrubbish\n")
    assert await scene.end() == 1
    (line,) = scene.person.screen
    assert line.startswith("Error. The server broke the protocol: ")


async def test_a_server_that_breaks_the_protocol_instead_of_an_answer(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in()
    scene.person.type("message hans 1")
    message = await scene.server.expect(wire.Message)
    scene.server.say(wire.Users(message.id, ()))
    assert await scene.end() == 1
    (line,) = scene.person.screen
    assert line.startswith("Error. The server broke the protocol: ")
    assert line.endswith("1 request was not answered, so it may not have been done")


async def test_a_terminal_that_has_gone(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.log_in()
    scene.person.failure = TerminalGone()
    scene.person.type("help")
    assert await scene.end() == 1


# -- Signals -------------------------------------------------------------------------------------


Signal = Callable[[int], Awaitable[None]]


@pytest.fixture
async def send_signal() -> Signal:
    async def send(number: int) -> None:
        os.kill(os.getpid(), number)
        await wait_all_tasks_blocked()

    return send


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_logs_out(
    scene: Scene, autojump_clock: MockClock, send_signal: Signal, number: int
) -> None:
    await scene.log_in()
    await send_signal(number)
    await scene.server.dismiss()
    assert await scene.end() == 0
    assert scene.person.screen == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_before_login_just_ends(
    scene: Scene, autojump_clock: MockClock, send_signal: Signal, number: int
) -> None:
    await scene.person.see("Username: ")
    await send_signal(number)
    assert await scene.end() == 128 + number


async def test_a_second_signal_does_not_wait(
    scene: Scene, autojump_clock: MockClock, send_signal: Signal
) -> None:
    await scene.log_in()
    await send_signal(signal.SIGINT)
    await scene.server.expect(wire.Logout)
    await send_signal(signal.SIGINT)
    assert await scene.end() == 130


async def test_a_signal_hurries_a_script_that_waits(
    script: Scene, autojump_clock: MockClock, send_signal: Signal
) -> None:
    await script.log_in()
    script.person.type("message hans 1")
    script.person.type_end()
    await script.server.expect(wire.Message)
    await wait_all_tasks_blocked()
    await send_signal(signal.SIGTERM)
    await script.server.expect(wire.Logout)
    assert await script.end() == 1


# -- What is kept in view --------------------------------------------------------------------


async def test_who_is_online_is_kept_in_view(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_scene(tmp_path, shows_status=True) as scene:
        scene.person.type("yoda", "wise")
        await scene.server.admit()
        whoelse = await scene.server.expect(wire.WhoElse)
        scene.server.say(wire.Users(whoelse.id, ("hans",)), wire.Presence("luke", True))
        await scene.person.see("luke logged in")
        await wait_all_tasks_blocked()
        status = scene.person.statuses[-1]
        assert (status.user, status.line, status.online) == (
            "yoda",
            Line.ENCRYPTED,
            ("hans", "luke"),
        )
        assert ["hans"] not in scene.person.batches, "nobody has asked for it"
        scene.person.type("logout")
        await scene.server.dismiss()


async def test_who_is_online_is_asked_again_after_coming_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_scene(tmp_path, shows_status=True, reconnect_seconds=15) as scene:
        scene.person.type("yoda", "wise")
        await scene.server.admit(token="first")
        whoelse = await scene.server.expect(wire.WhoElse)
        scene.server.say(wire.Users(whoelse.id, ("hans",)))
        await wait_all_tasks_blocked()
        scene.server.transport.close()
        await scene.person.see(f"{SERVER_GONE}. {TRYING}")
        assert scene.person.statuses[-1].line is Line.RECONNECTING
        assert scene.person.statuses[-1].online is None
        server = await scene.comes_back()
        whoelse = await server.expect(wire.WhoElse)
        server.say(wire.Users(whoelse.id, ("luke",)))
        await wait_all_tasks_blocked()
        assert scene.person.statuses[-1].online == ("luke",)
        scene.person.type("logout")
        await server.dismiss()


async def test_a_script_has_nothing_in_view(script: Scene, autojump_clock: MockClock) -> None:
    await script.log_in(wire.Presence("luke", True))
    script.person.type("logout")
    await script.server.dismiss()
    assert await script.end() == 0
    assert not any(isinstance(request, wire.WhoElse) for request in script.server.requests)
