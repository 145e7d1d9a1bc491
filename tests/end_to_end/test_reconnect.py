"""A server that is lost, and comes back or does not."""

import time

from .programs import HOST, SERVER_GONE
from .stage import Stage

TRYING = "Trying to reach it again"
LOST = f"{SERVER_GONE}. {TRYING}"
STOPPED = f"The server is shutting down. {TRYING}"
WAITS = "Not connected: 1 request waits for the server"
AGAIN = "Connected again"


def test_a_killed_server_comes_back_and_nothing_is_lost_or_doubled(chat: Stage) -> None:
    hans, yoda = chat.log_in("hans", "yoda")
    hans.says("message yoda before")
    yoda.shows("hans: before")
    # Yoda's client has acknowledged that when the first answer stands there, the server knows it
    # at the second, and hans's client at the third: or hans would have two requests that wait.
    for user, other in ((yoda, "hans"), (yoda, "hans"), (hans, "yoda")):
        user.says("whoelse", other)
    yoda.type("message hans half a li")
    yoda.wait_for_prompt("> message hans half a li")
    killed_at = time.monotonic()
    chat.server.kill()
    hans.shows(LOST)
    yoda.shows(LOST)
    assert time.monotonic() < killed_at + 5
    yoda.wait_for_prompt("> message hans half a li")
    hans.says("message yoda meanwhile", WAITS)
    yoda.type("ne\r")
    yoda.wait_for(WAITS)
    chat.server.start()
    hans.wait_for(AGAIN)
    yoda.wait_for(AGAIN)
    hans.wait_for("yoda: half a line")
    yoda.wait_for("hans: meanwhile")
    hans.says("message yoda after")
    yoda.wait_for("hans: after")
    for terminal, text in ((yoda, "before"), (yoda, "meanwhile"), (yoda, "after")):
        assert terminal.transcript.count(f"hans: {text}") == 1


def test_a_server_that_is_restarted_is_waited_for(chat: Stage) -> None:
    (hans,) = chat.log_in("hans")
    assert chat.server.terminate() == 0
    hans.shows(STOPPED)
    chat.server.start()
    hans.shows(AGAIN)
    hans.says("whoelse", "No other users are online")
    hans.says("logout")
    hans.ends(0)


def test_a_server_that_is_lost_for_good(chat: Stage) -> None:
    hans = chat.open_terminal(*chat.client_command(HOST, str(chat.port), "--reconnect", "2"))
    yoda = chat.open_terminal(*chat.client_command(HOST, str(chat.port), "--reconnect", "0"))
    hans.log_in("hans")
    yoda.log_in("yoda")
    hans.shows("yoda logged in")
    chat.server.kill()
    yoda.ends(1, SERVER_GONE)
    hans.ends(1, LOST, f"Cannot reach the server at {HOST}:{chat.port}. Is it running?")


def test_a_script_comes_back_if_it_is_told_to(chat: Stage) -> None:
    hans = chat.open_pipe(*chat.client_command(HOST, str(chat.port), "--reconnect", "30"))
    hans.log_in("hans")
    chat.server.kill()
    hans.wait_for(LOST)
    hans.send(*(f"message yoda {number}" for number in range(500)))
    chat.server.start()
    hans.end_input()
    assert hans.ends(0) == [LOST, AGAIN]
    yoda = chat.log_in_pipe("yoda")
    yoda.wait_for("hans: 499")
    assert yoda.lines == [f"hans: {number}" for number in range(500)]
