"""The sample interactions of section 8 of the assignment, on real terminals.

Each line that appears on a screen is compared; the order is the assignment's, from top to
bottom. `Terminal.ends` sees to it that nothing else was shown.
"""

import time
from collections.abc import Iterable

from .programs import WELCOME
from .stage import Stage
from .terminal import Terminal

STILL_BLOCKED = "Your account is blocked due to multiple login failures. Please try again later"
NOW_BLOCKED = "Invalid Password. Your account has been blocked. Please try again later"


def log_out_all(*terminals: Terminal, users: Iterable[str]) -> None:
    """Log them out in this order; each sees those before it go, and nothing else."""
    waiting = dict(zip(users, terminals, strict=True))
    while waiting:
        user = next(iter(waiting))
        leaving = waiting.pop(user)
        leaving.says("logout")
        leaving.ends(0)
        for terminal in waiting.values():
            terminal.shows(f"{user} logged out")


def test_case_1_successful_login(chat: Stage) -> None:
    terminal = chat.open_terminal()
    terminal.gives_name("yoda")
    terminal.tries("wise", WELCOME)
    terminal.wait_for_prompt(">")
    terminal.says("logout")
    terminal.ends(0)
    assert terminal.transcript == ["Username: yoda", "Password:", WELCOME, "> logout"]


def test_case_2_unsuccessful_login(stage: Stage) -> None:
    stage.start_server(block_seconds=2)
    # All are opened before, so that the times do not depend on how long a client starts.
    first, too_early, in_time = (stage.open_terminal() for _ in range(3))
    for terminal in (first, too_early, in_time):
        terminal.gives_name("yoda")

    first.tries("weird", "Invalid Password. Please try again")
    first.tries("green", "Invalid Password. Please try again")
    first.tries("password", NOW_BLOCKED)
    blocked_until = time.monotonic() + 2
    too_early.tries("wise", STILL_BLOCKED)
    first.ends(6)
    too_early.ends(6)

    stage.watch.wait_until_time(blocked_until)
    in_time.tries("wise", WELCOME)
    in_time.says("logout")
    in_time.ends(0)


def test_examples_1_to_4_commands_messages_broadcasts_and_blocking(chat: Stage) -> None:
    hans, yoda, luke = chat.log_in("hans", "yoda", "luke")

    # 1. Hans executes whoelse followed by a command that is not supported
    hans.says("whoelse", "yoda", "luke")
    hans.says("whatsthetime", "Error. Invalid command")

    # 2. Hans messages Yoda and then messages an invalid user
    hans.says("message yoda Hey Dude")
    yoda.shows("hans: Hey Dude")
    hans.says("message bob party time", "Error. Invalid user")

    # 3. Hans broadcasts a message
    hans.says("broadcast vader sucks")
    yoda.shows("hans: vader sucks")
    luke.shows("hans: vader sucks")

    # 4. Luke blocks Hans followed by a few interactions
    luke.says("block hans", "hans is blocked")
    hans.says("broadcast I rock", "Your message could not be delivered to some recipients")
    yoda.shows("hans: I rock")
    hans.says(
        "message luke You angry?",
        "Your message could not be delivered as the recipient has blocked you",
    )
    hans.says("block hans", "Error. Cannot block self")
    luke.says("unblock yoda", "Error. yoda was not blocked")
    luke.says("unblock hans", "hans is unblocked")
    hans.says("broadcast stormtroopers")
    yoda.shows("hans: stormtroopers")
    luke.shows("hans: stormtroopers")

    log_out_all(hans, yoda, luke, users=("hans", "yoda", "luke"))


def test_example_5_whoelsesince(chat: Stage) -> None:
    hans, yoda, luke = chat.log_in("hans", "yoda", "luke")
    for user, online_seconds in (("r2d2", 0.0), ("vader", 2.0)):
        visitor = chat.log_in_pipe(user)
        chat.watch.wait_until_time(time.monotonic() + online_seconds)
        visitor.end_input()
        assert visitor.ends(0) == []
        for other in (hans, yoda, luke):
            other.shows(f"{user} logged in", f"{user} logged out")
        if user == "r2d2":
            r2d2_left = time.monotonic()

    # Vader was here two seconds longer than r2d2, which is time enough to ask.
    seconds = time.monotonic() - r2d2_left - 0.1
    luke.says(f"whoelsesince {seconds:.2f}", "hans", "yoda", "vader")
    yoda.says("whoelsesince 500", "hans", "luke", "vader", "r2d2")
    log_out_all(hans, yoda, luke, users=("hans", "yoda", "luke"))


def test_example_6_offline_message_and_presence(chat: Stage) -> None:
    hans, yoda = chat.log_in("hans", "yoda")
    luke = chat.open_terminal()
    hans.says("message luke Let's rock")
    luke.log_in("luke")
    hans.shows("luke logged in")
    yoda.shows("luke logged in")
    luke.shows("hans: Let's rock")
    yoda.says("logout")
    yoda.ends(0)
    hans.shows("yoda logged out")
    luke.shows("yoda logged out")
    log_out_all(hans, luke, users=("hans", "luke"))


def test_example_7_private_messaging(chat: Stage) -> None:
    hans, yoda, luke = chat.log_in("hans", "yoda", "luke")
    hans.says("private luke hey dude", "Error. Private messaging to luke not enabled")
    hans.says("startprivate luke", "Start private messaging with luke")
    hans.says("private luke hey dude")
    luke.shows("hans(private): hey dude")
    luke.says("private hans hello")
    hans.shows("luke(private): hello")
    hans.says("message yoda force is strong")
    yoda.shows("hans: force is strong")
    log_out_all(hans, yoda, luke, users=("hans", "yoda", "luke"))
