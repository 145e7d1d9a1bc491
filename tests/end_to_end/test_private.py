"""Private messages between the real programs, over TLS on loopback (section 3.4)."""

from __future__ import annotations

import signal
import socket

import pytest

from .programs import HOST, SERVER_GONE, WELCOME, Pipe
from .stage import Stage

COUNT = 500
STARTED = "Start private messaging with "
GOES_ON = "Private messaging and transfers go on; 'logout' ends them"


def _start(chat: Stage) -> tuple[Pipe, Pipe]:
    """Hans and luke, with a link between them."""
    luke = chat.log_in_pipe("luke")
    hans = chat.log_in_pipe("hans")
    luke.wait_for("hans logged in")
    hans.send("startprivate luke")
    hans.wait_for(STARTED + "luke")
    return hans, luke


def test_private_messages_do_not_need_the_server(chat: Stage) -> None:
    """While it is stopped, a thousand of them arrive, none lost or doubled, in order."""
    hans, luke = _start(chat)
    chat.server.signal(signal.SIGSTOP)
    hans.send(*(f"private luke to luke {number}" for number in range(COUNT)))
    luke.send(*(f"private hans to hans {number}" for number in range(COUNT)))
    for pipe in (hans, luke):
        other = "luke" if pipe is hans else "hans"
        pipe.wait_for(f"{other}(private): to {'hans' if pipe is hans else 'luke'} {COUNT - 1}")
    chat.server.signal(signal.SIGCONT)
    hans.send("logout")
    assert hans.ends(0) == [
        STARTED + "luke",
        *(f"luke(private): to hans {number}" for number in range(COUNT)),
    ]
    luke.wait_for("hans logged out")
    luke.send("logout")
    assert luke.ends(0) == [
        "hans logged in",
        *(f"hans(private): to luke {number}" for number in range(COUNT)),
        "hans logged out",
    ]


def test_who_is_killed_is_gone(chat: Stage) -> None:
    hans, luke = _start(chat)
    hans.kill()
    luke.wait_for("hans logged out")
    luke.send("private hans are you there?")
    luke.wait_for(
        "Error. hans is no longer online at the address of your private messaging;"
        " 'startprivate hans' looks for another one"
    )
    luke.send("startprivate hans")
    luke.wait_for("Error. hans is offline")


def test_when_the_server_is_killed_private_messaging_goes_on(chat: Stage) -> None:
    hans, luke = _start(chat)
    chat.server.kill()
    for pipe in (hans, luke):
        pipe.wait_for(GOES_ON)
    hans.send("private luke still there?")
    luke.wait_for("hans(private): still there?")
    luke.send("private hans yes", "logout")
    assert luke.ends(0)[-3:] == [SERVER_GONE, GOES_ON, "hans(private): still there?"]
    assert hans.ends(1)[-4:] == [
        SERVER_GONE,
        GOES_ON,
        "luke(private): yes",
        "Private messaging with luke has ended: the other user has logged out",
    ]
    chat.server.start()


def test_a_script_starts_and_sends_and_waits(chat: Stage) -> None:
    luke = chat.log_in_pipe("luke")
    hans = chat.open_pipe()
    hans.send("hans", "solo", "startprivate luke", "private luke one", "private luke two")
    hans.end_input()
    assert hans.wait_for_exit() == 0
    assert hans.output.decode().splitlines() == [WELCOME, STARTED + "luke"]
    luke.wait_for("hans logged out")
    assert luke.lines == [
        "hans logged in",
        "hans(private): one",
        "hans(private): two",
        "hans logged out",
    ]


def test_a_port_for_peers_that_is_in_use_is_told_and_the_chat_goes_on(chat: Stage) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        options = ("--peer-port", str(port), "--peer-host", HOST)
        hans = chat.open_pipe(*chat.client_command(HOST, str(chat.port), *options))
        hans.send("hans", "solo", "whoelse", "startprivate yoda")
        hans.end_input()
        assert hans.wait_for_exit() == 3
    assert hans.output.decode().splitlines() == [
        f"Private messaging is off: port {port} of {HOST} is in use; stop what uses it, or give"
        " another port",
        WELCOME,
        "No other users are online",
        "Error. yoda is offline",
    ]


@pytest.mark.parametrize("option", [(), ("--peer-host", "::1")])
def test_it_works_over_ipv6(stage: Stage, option: tuple[str, ...]) -> None:
    stage.start_server(host="::1")
    command = stage.client_command("::1", str(stage.port), *option)
    luke, hans = stage.open_pipe(*command), stage.open_pipe(*command)
    luke.log_in("luke")
    hans.log_in("hans")
    hans.send("startprivate luke", "private luke hey dude")
    luke.wait_for("hans(private): hey dude")
    luke.send("private hans hello")
    hans.wait_for("luke(private): hello")
