"""A client that goes without a goodbye: others are told, and its user may come again."""

import signal

from .programs import SERVER_GONE, WELCOME
from .stage import Stage

ALREADY_ONLINE = "Your account is already logged in elsewhere. Log out there first, then try again"
TOO_SLOW = "You have been logged out as your terminal did not keep up with the server"


def test_clients_that_go_without_a_goodbye_are_noticed(chat: Stage) -> None:
    hans = chat.log_in_pipe("hans")
    yoda, luke, vader = chat.log_in("yoda", "luke", "vader")
    yoda.kill()
    hans.wait_for("yoda logged out")
    luke.hang_up()
    hans.wait_for("luke logged out")
    assert luke.wait_for_exit() in (0, 1), "whether it could still log out, or not"
    vader.signal(signal.SIGTERM)
    hans.wait_for("vader logged out")
    vader.shows("yoda logged out", "luke logged out")
    vader.ends(0)
    assert hans.lines[3:] == ["yoda logged out", "luke logged out", "vader logged out"]


def test_the_user_of_a_killed_client_can_log_in_again_at_once(chat: Stage) -> None:
    hans = chat.log_in_pipe("hans")
    (yoda,) = chat.log_in("yoda")
    again = chat.open_terminal()
    again.gives_name("yoda")
    yoda.kill()
    hans.wait_for("yoda logged out")
    again.tries("wise", WELCOME)
    hans.wait_for_count("yoda logged in", 2)
    hans.send("message yoda still there?")
    again.shows("hans: still there?")
    assert hans.lines == ["yoda logged in", "yoda logged out", "yoda logged in"]


def test_a_second_login_of_one_user_is_refused_and_disturbs_nobody(chat: Stage) -> None:
    hans, yoda = chat.log_in("hans", "yoda")
    second = chat.open_terminal()
    second.gives_name("yoda")
    second.tries("wise", ALREADY_ONLINE)
    second.ends(5)
    hans.says("message yoda still there?")
    yoda.shows("hans: still there?")
    hans.says("logout")
    hans.ends(0)


def test_a_client_that_does_not_react_keeps_nobody_waiting(stage: Stage) -> None:
    stage.start_server("--rate", "0")  # or one sender could not fill the buffers so soon
    hans, luke, yoda = (stage.log_in_pipe(user) for user in ("hans", "luke", "yoda"))
    yoda.signal(signal.SIGSTOP)
    text = "x" * 8000
    for number in range(1000):  # more than all buffers between them can hold
        hans.send(f"broadcast {number} {text}")
        if number % 50 == 49:
            luke.wait_for(f"hans: {number} {text}")
    luke.wait_for("yoda logged out")
    hans.send("message yoda are you asleep?")
    hans.wait_until_answered()
    yoda.signal(signal.SIGCONT)
    # Whether it is awake in time for the last line is for the machine to decide.
    assert yoda.ends(1)[-1] in (TOO_SLOW, SERVER_GONE)

    again = stage.log_in_pipe("yoda")
    again.wait_for("hans: are you asleep?")
