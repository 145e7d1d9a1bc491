"""Crashes: what the server has acknowledged is shown exactly once, in order."""

from collections.abc import Sequence

from .programs import HELP, INVALID, SERVER_GONE, Pipe
from .stage import Stage


def numbers_shown(runs: Sequence[Pipe]) -> list[int]:
    """The numbers that hans has sent, as they stood on the screens of these runs."""
    lines = [line for run in runs for line in run.lines]
    return [int(line.removeprefix("hans: ")) for line in lines if line.startswith("hans: ")]


def test_what_was_acknowledged_to_offline_users_outlives_a_crash(chat: Stage) -> None:
    numbers = range(1, 501)
    hans = chat.log_in_pipe("hans")
    hans.send(*(f"message {user} {number}" for number in numbers for user in ("yoda", "luke")))
    hans.wait_until_answered()
    chat.server.crash_and_restart()
    *answers, last = hans.ends(1)
    assert (answers[-1:], last) == ([HELP], SERVER_GONE)
    assert not [line for line in answers if line.startswith("Error")]

    for user in ("yoda", "luke"):
        receiver = chat.log_in_pipe(user)
        receiver.wait_for(f"hans: {numbers[-1]}")
        receiver.end_input()
        assert receiver.ends(0) == [f"hans: {number}" for number in numbers]


def test_messages_already_shown_are_not_shown_again_after_a_crash(chat: Stage) -> None:
    online, hans = chat.log_in_pipe("yoda"), chat.log_in_pipe("hans")
    hans.send(*(f"message yoda {number}" for number in range(300)))
    online.wait_for("hans: 299")
    online.end_input()
    online.ends(0)
    hans.send(*(f"message yoda {number}" for number in range(300, 500)))
    hans.wait_until_answered()
    returned = chat.log_in_pipe("yoda")
    returned.wait_for("hans: 499")
    returned.wait_until_answered()
    chat.server.crash_and_restart()  # before it has deleted them from the disk
    assert returned.wait_for_exit() == 1
    assert numbers_shown([online, returned]) == list(range(500))

    luke = chat.log_in_pipe("luke")
    luke.send("message yoda what comes next")
    luke.wait_until_answered()
    again = chat.log_in_pipe("yoda")
    again.wait_for("luke: what comes next")
    assert again.lines == ["luke: what comes next"]


def test_a_crash_amid_a_conversation_loses_and_doubles_nothing(chat: Stage) -> None:
    batches, batch_size, crashes = 60, 10, 2
    acknowledged: set[int] = set()
    runs: list[Pipe] = []
    for crash in range(crashes):
        yoda, hans = chat.log_in_pipe("yoda"), chat.log_in_pipe("hans")
        runs.append(yoda)
        first = crash * batches * batch_size
        for batch in range(batches):
            start = first + batch * batch_size
            hans.send(*(f"message yoda {start + index}" for index in range(batch_size)))
            hans.send("have you got them all?")  # its answer comes after theirs
        hans.wait_for_count(INVALID, 10 + crash)
        chat.server.kill()
        assert hans.wait_for_exit() == 1
        assert hans.lines[-1].startswith(SERVER_GONE)
        assert yoda.ends(1)[-1] == SERVER_GONE
        answers = hans.lines.count(INVALID)
        assert answers < batches, "the conversation was still going on"
        acknowledged.update(range(first, first + answers * batch_size))
        chat.server.start()

    luke = chat.log_in_pipe("luke")
    luke.send("message yoda the end")
    luke.wait_until_answered()
    yoda = chat.log_in_pipe("yoda")
    yoda.wait_for("luke: the end")
    shown = numbers_shown([*runs, yoda])
    assert shown == sorted(set(shown)), "in order, and each one once"
    assert acknowledged <= set(shown)


def test_a_crash_of_the_receiver_loses_and_doubles_nothing(chat: Stage) -> None:
    hans, yoda = chat.log_in("hans", "yoda")
    for number in range(5):
        hans.says(f"message yoda {number}")
    yoda.shows(*(f"hans: {number}" for number in range(5)))
    yoda.says("whoelse", "hans")  # its answer comes when what was before has been dealt with
    yoda.kill()
    hans.shows("yoda logged out")
    for number in range(5, 8):
        hans.says(f"message yoda {number}")

    again = chat.open_terminal()
    again.log_in("yoda")
    again.shows("--- unread while you were away ---")
    again.shows(*(f"hans: {number}" for number in range(5, 8)))
    hans.shows("yoda logged in")
    again.says("whoelse", "hans")
    again.says("logout")
    again.ends(0)


def test_a_crash_of_the_receiver_amid_a_flood_loses_nothing(chat: Stage) -> None:
    numbers = range(1000)
    hans, yoda = chat.log_in_pipe("hans"), chat.log_in_pipe("yoda")
    hans.send(*(f"message yoda {number}" for number in numbers))
    yoda.wait_for("hans: 100")
    yoda.kill()
    hans.wait_until_answered()

    again = chat.log_in_pipe("yoda")
    again.wait_for(f"hans: {numbers[-1]}")
    before, after = numbers_shown([yoda]), numbers_shown([again])
    assert before == list(numbers[: len(before)])
    assert after == list(numbers[after[0] :])
    assert after[0] <= len(before), "nothing is lost between them"


def test_blocks_outlive_a_crash(chat: Stage) -> None:
    luke = chat.log_in_pipe("luke")
    luke.send("block hans", "block yoda", "unblock yoda")
    luke.wait_for("yoda is unblocked")
    chat.server.crash_and_restart()

    hans, yoda = chat.log_in_pipe("hans"), chat.log_in_pipe("yoda")
    hans.send("message luke You angry?")
    hans.wait_for("Your message could not be delivered as the recipient has blocked you")
    yoda.send("message luke not with you")
    yoda.wait_until_answered()
    luke = chat.log_in_pipe("luke")
    yoda.wait_for("luke logged in")
    luke.wait_for("yoda: not with you")
    luke.send("block hans", "unblock yoda")
    luke.end_input()
    assert luke.ends(3) == [
        "yoda: not with you",
        "Error. hans is already blocked",
        "Error. yoda was not blocked",
    ]
    hans.wait_until_answered()
    assert "luke logged in" not in hans.lines
