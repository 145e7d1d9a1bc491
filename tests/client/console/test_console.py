"""The real program in a pseudo-terminal, against a scripted server on loopback."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.client.scripted import SECONDS_MAX, WELCOME, ScriptedServer
from trio_chat.client.console.console import PATIENCE_SECONDS, Look, open_console
from trio_chat.client.console.toolbar import toolbar
from trio_chat.client.render import info
from trio_chat.client.status import Line, Status
from trio_chat.client.terminal import TerminalGone
from trio_chat.protocol import messages as wire
from trio_chat.tty import FOCUS_OFF, Tty

from .window import Window, close, open_stage

HELP = "'help' lists the commands"

WIDTHS = (40, 80, 200)
"""The columns of a narrow, a usual and a wide window."""

CTRL_C, CTRL_D, CTRL_E, CTRL_L, CTRL_R, CTRL_U = "\x03", "\x04", "\x05", "\x0c", "\x12", "\x15"
ENTER, TAB, UP, RIGHT = "\r", "\t", "\x1b[A", "\x1b[C"
FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"


async def _log_in(window: Window, server: ScriptedServer) -> None:
    window.type(f"yoda{ENTER}")
    await window.see_last("Password:")
    window.type(f"wise{ENTER}")
    await server.admit()
    await window.wait_until(lambda: WELCOME in " ".join(map(str.strip, window.visible)))
    await window.see_last(">")


def _delivery(seq: int) -> wire.Delivery:
    return wire.Delivery(seq, "hans", "c", seq, f"message {seq}")


async def test_login_and_commands_look_as_the_assignment_shows(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as (window, server):
        await _log_in(window, server)
        window.type(f"whoelse{ENTER}")
        whoelse = await server.expect(wire.WhoElse)
        server.say(wire.Users(whoelse.id, ("yoda", "luke")))
        await window.see("luke")
        window.type(f"whatsthetime{ENTER}")
        await window.see("Error. Invalid command")
        await window.see_last(">")
        assert window.lines == [
            "Username: yoda",
            "Password:",
            WELCOME,
            "> whoelse",
            "yoda",
            "luke",
            "> whatsthetime",
            "Error. Invalid command",
            ">",
        ]
        assert b"wise" not in window.output
        assert b"CPR" not in window.output
        window.type(f"logout{ENTER}")
        await server.expect(wire.Active)
        await server.dismiss()
        assert await window.end() == 0
        assert window.echoes


async def test_a_wrong_password_is_asked_again(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as (window, server):
        window.type(f"yoda{ENTER}")
        await window.see_last("Password:")
        window.type(f"weird{ENTER}")
        login = await server.expect(wire.Login)
        text = "Invalid Password. Please try again"
        server.say_bytes(
            b'{"type":"error","id":%d,"code":"invalid_password","text":"%b"}\n'
            % (login.id, text.encode())
        )
        await window.see(text)
        await window.see_last("Password:")
        assert window.lines == ["Username: yoda", "Password:", text, "Password:"]
        await window.see_toolbar("An empty password goes back to the name")
        window.type(CTRL_C)
        assert await window.end() == 130
        assert window.echoes


@pytest.mark.parametrize("columns", WIDTHS)
async def test_the_line_being_typed_stays_intact_while_a_thousand_arrive(
    tmp_path: Path, columns: int
) -> None:
    async with open_stage(tmp_path, columns=columns) as (window, server):
        await _log_in(window, server)
        typed = "message hans Hey Dude"
        for number, key in enumerate(typed):
            window.type(key)
            first = number * 50
            server.say(*(_delivery(seq + 1) for seq in range(first, first + 50)))
            await window.see(f"hans: message {first + 50}")
        await window.see_last(f"> {typed}")
        count = 50 * len(typed)
        received = [line for line in window.lines if line.startswith("hans: ")]
        assert received == [f"hans: message {seq + 1}" for seq in range(count)]
        window.type(ENTER)
        while isinstance(message := await server.next(), wire.Ack):
            continue
        assert isinstance(message, wire.Message)
        assert message.text == "Hey Dude"


async def test_what_is_typed_ahead_is_kept_and_not_shown_early(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as (window, server):
        window.type(f"yoda{ENTER}wise{ENTER}whoelse{ENTER}broadcast one")
        await server.admit()
        await server.expect(wire.WhoElse)
        await window.see_last("> broadcast one")
        assert b"wise" not in window.output
        assert window.lines[:5] == [
            "Username: yoda",
            "Password:",
            WELCOME,
            "> whoelse",
            "> broadcast one",
        ]


async def test_each_line_of_a_bracketed_paste_is_entered(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as (window, server):
        await _log_in(window, server)
        count = 200
        lines = "\n".join(f"broadcast line {number}" for number in range(count))
        window.type(f"\x1b[200~{lines}\n\n  more\x1b[201~")
        for number in range(count):
            assert (await server.expect(wire.Broadcast)).text == f"line {number}"
        await window.see_last(">   more")


async def test_history_holds_commands_but_no_secrets(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as (window, server):
        await _log_in(window, server)
        window.type(f"broadcast one{ENTER}")
        await server.expect(wire.Broadcast)
        await window.see_last(">")
        window.type(UP)
        await window.see_last("> broadcast one")
        window.type(UP * 3)
        window.type("!")
        await window.see_last("> broadcast one!")


async def test_another_server_is_not_offered_what_was_typed(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as (window, server):
        await _log_in(window, server)
        window.type(f"broadcast one{ENTER}")
        await server.expect(wire.Broadcast)
        async with open_stage(tmp_path) as (other, other_server):
            await _log_in(other, other_server)
            other.type(f"{UP}{UP}broadcast")
            await other.see_last("> broadcast")


@pytest.mark.parametrize("keys", [CTRL_D, CTRL_C, f"half typed{CTRL_C}{CTRL_C}", f"logout{ENTER}"])
async def test_every_way_to_log_out(tmp_path: Path, keys: str) -> None:
    async with open_stage(tmp_path) as (window, server):
        await _log_in(window, server)
        window.type(keys)
        await server.dismiss()
        assert await window.end() == 0
        assert window.echoes
        assert b"Traceback" not in window.output


@pytest.mark.parametrize(("keys", "status"), [(CTRL_C, 130), (CTRL_D, 1)])
async def test_leaving_without_login(tmp_path: Path, keys: str, status: int) -> None:
    async with open_stage(tmp_path) as (window, _):
        window.type(keys)
        assert await window.end() == status
        assert window.echoes
        assert window.lines in (["Username:"], [])


@pytest.mark.parametrize("typed", ["", "half typed"])
async def test_the_server_has_gone_while_somebody_types(tmp_path: Path, typed: str) -> None:
    async with open_stage(tmp_path, "--reconnect", "0") as (window, server):
        await _log_in(window, server)
        window.type(typed)
        await window.see_last(f"> {typed}".rstrip())
        server.transport.close()
        assert await window.end() == 1
        left = [f"> {typed}"] if typed else []
        assert window.lines[3:] == [*left, "The server has closed the connection"]
        assert window.echoes


@pytest.mark.parametrize("logged_in", [False, True])
async def test_a_window_that_is_closed_ends_the_client(tmp_path: Path, logged_in: bool) -> None:
    async with open_stage(tmp_path) as (window, server):
        if logged_in:
            await _log_in(window, server)
        window.hang_up()
        with trio.fail_after(SECONDS_MAX):
            assert await window.process.wait() in (0, 1)


async def test_a_dumb_terminal_works(tmp_path: Path) -> None:
    async with open_stage(tmp_path, term="dumb") as (window, server):
        await _log_in(window, server)
        server.say(wire.Presence("luke", online=True))
        await window.wait_until(lambda: "luke logged in" in window.output.decode())
        assert b"\x1b" not in window.output
        assert b"wise" not in window.output
        window.type(f"logout{ENTER}")
        await server.dismiss()
        assert await window.end() == 0
        assert window.echoes


# -- Beyond the assignment -----------------------------------------------------------------


async def test_tab_completes_commands_and_names_and_lists_what_they_may_be(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as (window, server):
        server.others = ("luke", "leia", "yoda2")
        await _log_in(window, server)
        await window.see_toolbar(f"yoda | not encrypted | 3 online | {HELP}")
        window.type(f"mes{TAB}")
        await window.see_last("> message")
        window.type(f"y{TAB}")
        await window.see_last("> message yoda2")
        window.type(f"{CTRL_U}message l{TAB}")
        await window.see("luke  leia")
        await window.see_last("> message l")
        window.type(f"u{TAB}hi{ENTER}")
        message = await server.expect(wire.Message)
        assert (message.to, message.text) == ("luke", "hi")


@pytest.mark.parametrize("columns", WIDTHS)
async def test_long_lines_break_between_words(tmp_path: Path, columns: int) -> None:
    text = " ".join(f"part{number}" for number in range(30))
    async with open_stage(tmp_path, "--no-timestamps", columns=columns) as (window, server):
        await _log_in(window, server)
        server.say(wire.Delivery(1, "hans", "c", 1, text))
        await window.wait_until(lambda: "part29" in " ".join(window.visible))
        shown = [line for line in window.visible if "part" in line]
        assert " ".join(line.strip() for line in shown) == f"hans: {text}"
        assert max(map(len, shown)) <= columns


async def test_the_time_stands_beside_what_was_said_unless_nobody_wants_it(tmp_path: Path) -> None:
    for options, margins in (((), 1), (("--no-timestamps",), 0)):
        async with open_stage(tmp_path / str(margins), *options) as (window, server):
            await _log_in(window, server)
            await window.see_toolbar(f"yoda | not encrypted | nobody else online | {HELP}")
            server.say(_delivery(1))
            await window.see("hans: message 1")
            assert len(window.margins) == margins


async def test_what_comes_while_somebody_looks_elsewhere_is_marked_and_rings(
    tmp_path: Path,
) -> None:
    async with open_stage(tmp_path, "--notify", "private") as (window, server):
        assert b"\x1b[?1004h" in window.output
        await _log_in(window, server)
        await window.see_toolbar(f"yoda | not encrypted | nobody else online | {HELP}")
        window.type(f"{FOCUS_OUT}message hans wait")
        await window.see_last("> message hans wait")
        server.say(_delivery(1), _delivery(2))
        await window.see("hans: message 2")
        first = window.visible.index("hans: message 1")
        assert re.fullmatch(r"--- unread since \d\d:\d\d ---", window.visible[first - 1])
        ring = b"\x07\x1b]9;hans: message 1 (and 1 more)\x07"
        await window.wait_until(lambda: ring in window.output)  # it stands behind the words
        window.type(f"{FOCUS_IN}{CTRL_U}x")
        await window.see_last("> x")
        heard = len(window.output)
        server.say(_delivery(3))
        await window.see("hans: message 3")
        assert b"\x07" not in window.output[heard:]
        window.type(f"{CTRL_U}logout{ENTER}")
        while not isinstance(request := await server.next(), wire.Logout):
            continue
        server.say(wire.Ok(request.id))
        server.transport.close()
        assert await window.end() == 0
        assert window.output.rstrip().endswith(b"\x1b[?1004l")


@pytest.mark.parametrize(
    ("answer", "texts"),
    [("o", ["so: one\n\n  two"]), ("s", ["so: one", "two"]), ("n", [])],
)
@pytest.mark.parametrize("columns", WIDTHS)
async def test_it_is_asked_once_what_a_paste_of_several_lines_is(
    tmp_path: Path, columns: int, answer: str, texts: list[str]
) -> None:
    async with open_stage(tmp_path, columns=columns) as (window, server):
        await _log_in(window, server)
        window.type("message luke so: \x1b[200~one\r\r  two\r\x1b[201~")
        await window.wait_until(
            lambda: (
                "Send 3 lines as one message (o), as several (s), or not (n)?"
                in " ".join(window.visible)
            )
        )
        window.type(f"zz{answer}")
        for text in texts:
            message = await server.expect(wire.Message)
            assert (message.to, message.text) == ("luke", text)
        await window.see_last(">" if texts else "> message luke so:")
        await window.wait_until(lambda: "Send 3 lines" not in " ".join(window.lines))


async def test_history_survives_a_restart_and_holds_no_password(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as (window, server):
        await _log_in(window, server)
        for line in ("broadcast one", "broadcast other", "private luke hush"):
            window.type(f"{line}{ENTER}")
            await window.see(f"> {line}")
        for _ in range(2):
            server.say(wire.Sent((await server.expect(wire.Broadcast)).id, complete=True))
        window.type(CTRL_D)
        while not isinstance(request := await server.next(), wire.Logout):
            continue
        server.say(wire.Ok(request.id))
        server.transport.close()
        assert await window.end() == 0
    (file,) = await trio.Path(tmp_path).glob("history-*.jsonl")
    stored = await file.read_bytes()
    assert stored == b'"broadcast one"\n"broadcast other"\n'

    async with open_stage(tmp_path, port=window.port) as (window, server):
        await _log_in(window, server)
        window.type(f"{CTRL_R}one")
        await window.wait_until(lambda: "broadcast one" in window.visible[-1])
        window.type(ENTER)
        await window.see_last("> broadcast one")
        window.type(f"{CTRL_E}{CTRL_U}broadcast ot")
        await window.see_last("> broadcast other")  # the rest is a suggestion
        assert window.colours_of("her") == {"brightblack"}
        window.type(f"{RIGHT}{ENTER}")
        assert (await server.expect(wire.Broadcast)).text == "other"


@pytest.mark.parametrize(
    ("options", "environment", "is_coloured"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        (("--color", "never"), {}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
    ],
)
async def test_colour_can_be_had_and_can_be_left(
    tmp_path: Path, options: tuple[str, ...], environment: dict[str, str], is_coloured: bool
) -> None:
    async with open_stage(tmp_path, *options, environment=environment) as (window, server):
        await _log_in(window, server)
        server.say(_delivery(1))
        await window.see("hans: message 1")
        window.type(f"mesage luke hi{ENTER}")
        await window.see("Did you mean 'message'?")
        await window.see_last(">")
        assert (window.colours_of("hans") != {"default"}) is is_coloured
        assert (window.colours_of("Error.") == {"red"}) is is_coloured
        codes = set(re.findall(rb"\x1b\[([0-9;]*)m", window.output))
        assert (codes <= {b"", b"0"}) is not is_coloured


@pytest.mark.parametrize("columns", WIDTHS)
async def test_a_window_may_change_its_width(tmp_path: Path, columns: int) -> None:
    async with open_stage(tmp_path, columns=columns) as (window, server):
        await _log_in(window, server)
        window.type("message hans half a line")
        await window.see_last("> message hans half a line")
        window.resize(60)
        server.say(wire.Delivery(1, "hans", "c", 1, "word " * 20))
        await window.see("hans: word word word word word word word word word")
        await window.see_last("> message hans half a line")
        await window.see_toolbar("yoda | not encrypted | nobody else online")
        window.type(ENTER)
        while not isinstance(message := await server.next(), wire.Message):
            continue
        assert message.text == "half a line"


async def test_wide_characters_keep_their_place(tmp_path: Path) -> None:
    async with open_stage(tmp_path, columns=40) as (window, server):
        await _log_in(window, server)
        server.say(wire.Delivery(1, "林", "c", 1, "你好世界 " * 8))
        await window.wait_until(lambda: "你" in "".join(window.visible))
        window.type("message 林 再见")
        await window.wait_until(lambda: "再" in window.visible[-1])
        window.type(ENTER)
        while not isinstance(message := await server.next(), wire.Message):
            continue
        assert (message.to, message.text) == ("林", "再见")


async def test_plain_lines_for_a_screen_reader(tmp_path: Path) -> None:
    async with open_stage(tmp_path, "--plain") as (window, server):
        await _log_in(window, server)
        server.say(_delivery(1))
        await window.wait_until(lambda: "hans: message 1" in window.output.decode())
        window.type(f"mesage luke hi{ENTER}")
        await window.wait_until(lambda: "Did you mean 'message'?" in window.output.decode())
        assert b"\x1b" not in window.output
        assert b"wise" not in window.output


async def test_the_name_may_be_given_before(tmp_path: Path) -> None:
    async with open_stage(tmp_path, "--user", "yoda", prompt="Password:") as (window, server):
        window.type(f"wise{ENTER}")
        await server.admit()
        await window.see(WELCOME)
        assert window.lines[0] == "Password:"


async def test_ctrl_c_clears_what_was_typed_and_then_leaves(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as (window, server):
        window.type(f"hans{CTRL_C}")
        await window.see_last("Username:")
        await _log_in(window, server)
        window.type("message hans half typed")
        await window.see_last("> message hans half typed")
        window.type(CTRL_C)
        await window.see_last(">")
        window.type(f"broadcast whole{ENTER}{CTRL_C}")
        broadcast = await server.expect(wire.Broadcast)
        assert broadcast.text == "whole"
        server.say(wire.Sent(broadcast.id, complete=True))
        await server.expect(wire.Logout)


@pytest.mark.parametrize("columns", WIDTHS)
async def test_ctrl_l_clears_the_screen_and_keeps_the_line(tmp_path: Path, columns: int) -> None:
    async with open_stage(tmp_path, columns=columns) as (window, server):
        await _log_in(window, server)
        await window.see_toolbar(toolbar(Status("yoda", Line.CLEAR, ()), columns))
        window.type(f"half typed{CTRL_L}")
        await window.wait_until(lambda: window.visible == ["> half typed"])
        await window.see_toolbar(toolbar(Status("yoda", Line.CLEAR, ()), columns))


@contextmanager
def _terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """The standard files, which are a terminal now: its keyboard's end and its own."""
    keyboard, terminal = os.openpty()
    try:
        with os.fdopen(os.dup(terminal)) as stdin, os.fdopen(os.dup(terminal), "w") as stdout:
            monkeypatch.setattr(sys, "stdin", stdin)
            monkeypatch.setattr(sys, "stdout", stdout)
            yield keyboard, terminal
    finally:
        close(keyboard, terminal)


async def test_what_can_not_be_laid_out_does_not_count_as_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Or it would be acknowledged, and lost."""
    with _terminal(monkeypatch) as (_, terminal):
        async with open_console(Look(), Tty(terminal)) as console:
            await console.show([info("fine")])
            monkeypatch.delattr(console, "_layout")
            with pytest.raises(TerminalGone):
                await console.show([info("lost")])
    assert "AttributeError" in caplog.text


# -- A terminal that takes no output ---------------------------------------------------------

TOO_MUCH = ["x" * 70] * 10_000
"""More lines than the system keeps for a terminal."""


@pytest.mark.parametrize("has_prompt", [True, False])
async def test_a_terminal_that_takes_no_output_can_be_left(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock, has_prompt: bool
) -> None:
    with _terminal(monkeypatch) as (keyboard, terminal):
        before = termios.tcgetattr(terminal)
        async with open_console(Look(), Tty(terminal)) as console:
            with trio.move_on_after(1) as scope:
                async with trio.open_nursery() as nursery:
                    if has_prompt:
                        nursery.start_soon(console.read_line)
                    nursery.start_soon(console.show, [info(line) for line in TOO_MUCH])
            assert scope.cancelled_caught
            if has_prompt:
                with pytest.raises(TerminalGone):
                    await console.show([info("more")])
        assert termios.tcgetattr(terminal) == before
        # The thread lives on here, and must be done before another file gets its number.
        output = b""
        while FOCUS_OFF.encode() not in output:
            output = output[-len(FOCUS_OFF) :] + os.read(keyboard, 65536)
    assert trio.current_time() == 1 + PATIENCE_SECONDS


async def test_only_the_latest_status_waits_for_a_slow_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _terminal(monkeypatch) as (_, terminal):
        async with open_console(Look(), Tty(terminal)) as console:
            taken: list[Status] = []
            take = console._take_status

            def take_and_note() -> None:
                take()
                taken.append(console._status)

            monkeypatch.setattr(console, "_take_status", take_and_note)
            may_go_on = threading.Event()
            console._loop.call_soon_threadsafe(may_go_on.wait)
            for number in range(100):
                console.status(Status(user=f"user{number}"))
            may_go_on.set()
            await console.show([info("after that")])
            console.status(Status(user="last"))
            await console.show([info("after that")])
            assert [status.user for status in taken] == ["user99", "last"]


async def test_a_client_whose_terminal_takes_no_output_can_be_ended(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as (window, server):
        await _log_in(window, server)
        window.stop_reading()
        server.say(*(wire.Delivery(n, "hans", "c", n, "x" * 70) for n in range(1, 10_000)))
        while not window.has_unread:  # noqa: ASYNC110  # it writes more than can be kept
            await trio.sleep(0.01)
        window.process.terminate()
        while not isinstance(await server.next(), wire.Logout):
            continue
        window.process.terminate()
        assert await window.end() == 128 + signal.SIGTERM
        assert window.echoes
