"""The client in a terminal: what is typed and shown there, and how it ends."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from .programs import HOST, INVALID, PASSWORDS, WELCOME
from .stage import Stage

MISTYPED = {
    "": [],
    "   ": [],
    "whatsthetime": [INVALID],
    "WHOELSE": [INVALID, "Did you mean 'whoelse'?"],
    "message": ["Error. Usage: message <user> <message>"],
    "message yoda": ["Error. Usage: message <user> <message>"],
    "message hans note to self": ["Error. Cannot message self"],
    "message Yoda hi": ["Error. Invalid user"],
    "broadcast": ["Error. Usage: broadcast <message>"],
    "whoelse now": ["Error. Usage: whoelse"],
    "whoelsesince": ["Error. Usage: whoelsesince <seconds>"],
    "whoelsesince yesterday": ["Error. Usage: whoelsesince <seconds>"],
    "whoelsesince -5": ["Error. Usage: whoelsesince <seconds>"],
    "block": ["Error. Usage: block <user>"],
    "block luke vader": ["Error. Usage: block <user>"],
    "block nobody": ["Error. Invalid user"],
    "unblock hans": ["Error. Cannot unblock self"],
    "unblock nobody": ["Error. Invalid user"],
    "logout now": ["Error. Usage: logout"],
}


# -- What is typed -----------------------------------------------------------------------


def test_a_line_being_typed_stays_intact_while_others_arrive(chat: Stage) -> None:
    (hans,) = chat.log_in("hans")
    yoda = chat.log_in_pipe("yoda")
    hans.shows("yoda logged in")
    hans.type("message yoda Hel")
    hans.wait_for_prompt("> message yoda Hel")
    yoda.send(*(f"message hans number {number}" for number in range(300)))
    hans.shows(*(f"yoda: number {number}" for number in range(300)))
    hans.wait_for_prompt("> message yoda Hel")
    rest = "lo there, who are you?"
    for letter in rest:
        yoda.send(f"message hans with {letter}")
        hans.type(letter)
    hans.shows(*(f"yoda: with {letter}".rstrip() for letter in rest))
    hans.wait_for_prompt(f"> message yoda Hel{rest}")
    hans.type("\r")
    hans.shows(f"> message yoda Hel{rest}")
    yoda.wait_for(f"hans: Hel{rest}")


def test_lines_can_be_edited_called_back_and_pasted(chat: Stage) -> None:
    (hans,) = chat.log_in("hans")
    hans.type("broadcost Hi\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x7fa\r")
    hans.shows("> broadcast Hi")
    hans.wait_for_prompt(">")
    hans.type("\x1b[A")
    hans.wait_for_prompt("> broadcast Hi")
    hans.type("\r")
    hans.shows("> broadcast Hi")
    hans.wait_for_prompt(">")
    hans.type("\x1b[200~message yoda 1\rmessage yoda 2\rwhoel\x1b[201~")
    hans.shows("> message yoda 1", "> message yoda 2")
    hans.wait_for_prompt("> whoel")
    hans.type("se\r")
    hans.shows("> whoelse", "No other users are online")
    yoda = chat.log_in_pipe("yoda")
    yoda.wait_for("hans: 2")
    assert yoda.lines == ["hans: 1", "hans: 2"]


def test_mistyped_lines_are_explained_and_concern_nobody_else(chat: Stage) -> None:
    hans, yoda = chat.log_in("hans", "yoda")
    for line, answers in MISTYPED.items():
        hans.says(line, *answers)
    hans.says("whoelse", "yoda")
    hans.says("message yoda  two  blanks")
    yoda.shows("hans: two  blanks")


def test_a_password_appears_nowhere(chat: Stage) -> None:
    terminal = chat.open_terminal()
    terminal.gives_name("yoda")
    terminal.type("wis")
    terminal.type("\x7fse")
    terminal.wait_for_prompt("Password:")
    terminal.type("\r")
    terminal.shows("Password:", WELCOME)
    for letters in (b"wis", b"se", b"*"):
        assert letters not in terminal.received.partition(b"Password:")[2].partition(b"We")[0]
    terminal.wait_for_prompt(">")
    terminal.type("\x1b[A")  # it can't be called back either
    terminal.says("logout")
    terminal.ends(0)


def test_what_is_typed_ahead_is_taken_and_a_password_in_it_appears_nowhere(chat: Stage) -> None:
    terminal = chat.open_terminal()
    terminal.wait_for_prompt("Username:")
    terminal.type("yoda\rwise\rwhoelse\r")
    terminal.shows("Username: yoda", "Password:", WELCOME, "> whoelse", "No other users are online")
    assert b"wise" not in terminal.received


def test_a_window_may_change_its_size(chat: Stage) -> None:
    hans = chat.open_terminal(columns=60)
    hans.log_in("hans")
    yoda = chat.log_in_pipe("yoda")
    hans.shows("yoda logged in")
    hans.type("message yoda a rather long line")
    hans.wait_for_prompt("> message yoda a rather long line")

    hans.resize(columns=20, rows=24)
    yoda.send("message hans narrow")
    hans.shows("yoda: narrow")
    hans.wait_for_screen("yoda: narrow", "> message yoda a rat", "her long line")

    hans.resize(columns=100, rows=40)
    yoda.send("message hans " + "wide " * 15)
    hans.wait_for(("yoda: " + "wide " * 15).rstrip())
    hans.wait_for_prompt("> message yoda a rather long line")
    hans.type(" indeed\r")
    hans.shows("> message yoda a rather long line indeed")
    yoda.wait_for("hans: a rather long line indeed")


def test_a_terminal_that_can_only_print_will_do(chat: Stage) -> None:
    terminal = chat.open_terminal(kind="dumb")
    terminal.gives_name("yoda")
    terminal.tries("wise", WELCOME)
    terminal.wait_for_prompt(">")
    terminal.type("logout\r")
    terminal.ends(0, "> logout")
    assert b"wise" not in terminal.received
    assert b"\x1b" not in terminal.received


# -- How it ends -------------------------------------------------------------------------


def test_ctrl_c_and_ctrl_d_log_out(chat: Stage) -> None:
    observer = chat.log_in_pipe("r2d2")
    hans, yoda, luke = chat.log_in("hans", "yoda", "luke")
    hans.press_ctrl("c")
    hans.ends(0)
    observer.wait_for("hans logged out")
    yoda.shows("hans logged out")
    luke.shows("hans logged out")

    yoda.press_ctrl("d")
    yoda.ends(0, ">")
    observer.wait_for("yoda logged out")
    luke.shows("yoda logged out")

    luke.type("message hans never sen")
    luke.wait_for_prompt("> message hans never sen")
    luke.press_ctrl("c")
    luke.wait_for_prompt(">")
    luke.press_ctrl("c")
    luke.ends(0)
    observer.wait_for("luke logged out")
    observer.end_input()
    assert [line for line in observer.ends(0) if line.endswith("out")] == [
        "hans logged out",
        "yoda logged out",
        "luke logged out",
    ]


def test_whoever_leaves_before_login_leaves_at_once(chat: Stage) -> None:
    terminals = [chat.open_terminal() for _ in range(4)]
    for terminal in terminals[2:]:
        terminal.gives_name("yoda")
    for terminal, key, exit_code in zip(terminals, "cdcd", (130, 1, 130, 1), strict=True):
        terminal.wait_for_prompt("Username:", "Password:")
        terminal.press_ctrl(key)
        assert terminal.wait_for_exit() == exit_code
        assert terminal.modes == terminal.modes_before
        assert set(terminal.transcript) <= {"Username:", "Username: yoda", "Password:"}


def test_a_server_that_stops_before_the_login_is_the_end(chat: Stage) -> None:
    newcomer = chat.open_terminal()
    newcomer.gives_name("luke")
    assert chat.server.terminate() == 0
    assert newcomer.wait_for_exit() == 1
    assert newcomer.transcript[-1] == "The server is shutting down"
    assert newcomer.modes == newcomer.modes_before


def test_a_server_that_is_not_there_is_one_line(stage: Stage) -> None:
    nobody = stage.open_terminal()
    nowhere = stage.open_terminal(*stage.client_command("a" * 70 + ".example", "4000"))
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        stranger = stage.open_terminal(*stage.client_command(HOST, str(port)))
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            complaint = f"No safe connection to {HOST}:{port}: it does not speak TLS 1.3, or broke"
            complaint += " the handshake off"
            stranger.ends(1, complaint[:80].rstrip(), complaint[80:])
    nobody.ends(1, f"Cannot reach the server at {HOST}:{stage.port}. Is it running?")
    nowhere.ends(1, f"Unknown host: {'a' * 66}", f"{'a' * 4}.example")


def test_whoever_enters_nothing_is_logged_out_though_messages_arrive(stage: Stage) -> None:
    stage.start_server(idle_seconds=2)
    hans, yoda = stage.open_terminal(), stage.log_in_pipe("yoda")
    hans.gives_name("hans")
    hans.tries(PASSWORDS["hans"], WELCOME)
    start = time.monotonic()
    while "hans logged out" not in yoda.lines:
        yoda.send("message hans wake up")
        stage.watch.wait_until_time(time.monotonic() + 0.3)
    assert 1.5 < time.monotonic() - start < 6
    assert hans.wait_for_exit() == 1
    *messages, last_line = hans.transcript[3:]
    assert last_line == "You have been logged out after 2 seconds without activity"
    assert set(messages) == {"yoda: wake up"}
    assert hans.modes == hans.modes_before


def test_mistyped_lines_count_as_activity(stage: Stage) -> None:
    stage.start_server(idle_seconds=2)
    (hans,) = stage.log_in("hans")
    end = time.monotonic() + 3
    while time.monotonic() < end:
        hans.says("whatsthetime", INVALID)
        stage.watch.wait_until_time(time.monotonic() + 0.2)
    hans.says("whoelse", "No other users are online")
    hans.ends(1, "You have been logged out after 2 seconds without activity")


# -- Arguments ---------------------------------------------------------------------------


def test_arguments_that_cannot_be_right_are_explained_in_one_line(stage: Stage) -> None:
    def server(*arguments: str) -> tuple[str, ...]:
        return (stage.client_command()[0], "-m", "trio_chat.server", *arguments)

    def client(*arguments: str) -> tuple[str, ...]:
        return (stage.client_command()[0], "-m", "trio_chat.client", *arguments)

    good = (str(stage.port), "60", "120")
    (stage.directory / "torn.txt").write_text("hans solo\nyoda\n")
    commands = {
        client(HOST): "PORT",
        client(HOST, "http"): "PORT must be a number from 1 to 65535, not 'http'",
        client(HOST, "4000", "--fast"): "--fast",
        server(*good[:2]): "TIMEOUT",
        server("0", "60", "120"): "'0' is not a port",
        server("4000", "long", "120"): "'long' is not a number of seconds",
        server("4000", "60", "0"): "'0' is not a number of seconds",
        server(*good, "--credentials", "none.txt"): "none.txt",
        server(*good, "--credentials", "torn.txt"): "torn.txt, line 2",
    }
    programs = {command: stage.open_pipe(*command) for command in commands}
    for command, reason in commands.items():
        program = programs[command]
        assert program.wait_for_exit() == 2, command
        assert program.output == b""
        errors = program.errors.decode()
        assert reason in errors
        assert errors.count("\n") == 1, errors


def test_a_port_in_use_is_one_line(chat: Stage) -> None:
    command = (chat.client_command()[0], "-m", "trio_chat.server", str(chat.port), "60", "120")
    second = chat.open_pipe(*command, "--host", HOST)
    assert second.wait_for_exit() == 1
    assert second.output == b""
    assert second.errors.decode().splitlines() == [
        f"trio-chat-server: port {chat.port} of {HOST} is in use;"
        " stop what uses it, or give another port"
    ]


def test_ctrl_z_gives_the_terminal_back_and_fg_goes_on_with_the_line(chat: Stage) -> None:
    yoda = chat.log_in_pipe("yoda")
    shell = chat.open_terminal("/bin/sh", "-i")
    shell.wait_for_prompt("$", "#")
    modes = shell.modes
    shell.type(" ".join(chat.client_command()) + "\r")
    shell.wait_for_prompt("Username:")
    shell.type("hans\r")
    shell.wait_for_prompt("Password:")
    shell.type(f"{PASSWORDS['hans']}\r")
    shell.wait_for(WELCOME)
    shell.wait_for_prompt(">")
    shell.type("message yoda half ty")
    shell.wait_for_prompt("> message yoda half ty")
    shell.press_ctrl("z")
    shell.wait_for_prompt("$", "#")
    assert shell.modes == modes
    assert shell.received.rindex(b"\x1b[?2004l") > shell.received.rindex(b"\x1b[?2004h")
    assert shell.received.rindex(b"\x1b[?1004l") > shell.received.rindex(b"\x1b[?1004h")
    yoda.send("message hans are you there?")
    shell.type("fg\r")
    shell.wait_for("yoda: are you there?")
    shell.wait_for_prompt("> message yoda half ty")
    assert shell.received.rindex(b"\x1b[?2004h") > shell.received.rindex(b"\x1b[?2004l")
    shell.type("ped\r")
    yoda.wait_for("hans: half typed")
    shell.press_ctrl("d")
    shell.wait_for_prompt("$", "#")
    assert shell.modes == modes
    shell.type("exit\r")
    assert shell.wait_for_exit() == 0


# -- A terminal where nothing moves ------------------------------------------------------------


def test_on_a_plain_terminal_what_arrives_gets_lines_of_its_own(chat: Stage) -> None:
    hans = chat.open_terminal(*chat.client_command(HOST, str(chat.port), "--plain"))
    hans.log_in("hans")
    yoda = chat.log_in_pipe("yoda")
    hans.wait_for("yoda logged in")
    hans.type("message yoda Hel")
    hans.wait_for_prompt("> message yoda Hel")
    yoda.send("message hans first", "message hans second")
    hans.wait_for("yoda: second")
    hans.wait_for_prompt("> message yoda Hel")
    hans.type("p\x7flo\r")
    yoda.wait_for("hans: Hello")
    assert b"\x1b" not in hans.received
    hans.press_ctrl("c")
    hans.ends(0, "> message yoda Hello", ">")


# -- Whatever ends the process -----------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--plain",)])
@pytest.mark.parametrize(
    "number",
    [
        *(signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2),
        *(signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT),
    ],
    ids=lambda number: number.name,
)
def test_whatever_ends_it_the_terminal_is_as_before(
    chat: Stage, number: signal.Signals, options: tuple[str, ...]
) -> None:
    hans = chat.open_terminal(*chat.client_command(HOST, str(chat.port), *options))
    hans.log_in("hans")
    assert hans.modes != hans.modes_before
    hans.signal(number)
    hans.wait_for_exit()
    hans._watch.wait_until(
        lambda: hans.modes == hans.modes_before, lambda: f"restored: {hans.modes}"
    )
    if not options:
        for mode in (b"\x1b[?2004", b"\x1b[?1004"):  # pasted text is marked, the focus is told
            hans._watch.wait_until(
                lambda mode=mode: (
                    hans.received.rindex(mode + b"l")  # type: ignore[misc]
                    > hans.received.rindex(mode + b"h")
                ),
                lambda: "the modes of the screen to be given back",
            )


@pytest.mark.parametrize("module", ["trio_chat.client", "trio_chat"])
def test_what_is_typed_is_hidden_before_anything_slow_is_imported(module: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", module, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    # The line of a module comes when all that it imports has been imported.
    early = imported[: imported.index("trio_chat.tty")]
    assert not {"trio", "msgspec", "argparse", "ssl", "asyncio", "trio_chat.limits"} & set(early)
    assert "trio" in imported
