"""The client driven by programs: commands as arguments, JSON, and the bot of the documentation."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from .programs import HOST, PASSWORDS, ROOT, WELCOME, Pipe
from .stage import Stage


def run(chat: Stage, *options: str, user: str = "hans", port: int | None = None) -> Pipe:
    """The client with its password in a file, and arguments of ours."""
    secret = chat.directory / f"{user}.password"
    secret.write_text(f"{PASSWORDS[user]}\n")
    command = chat.client_command(HOST, str(port or chat.port))
    return chat.open_pipe(*command, "--user", user, "--password-file", str(secret), *options)


def events_of(pipe: Pipe) -> list[dict[str, object]]:
    return [json.loads(line) for line in pipe.output.decode().splitlines()]


def test_commands_are_done_and_only_what_matters_is_shown(chat: Stage) -> None:
    yoda = chat.log_in_pipe("yoda")
    quiet = run(chat, "-c", "message yoda the build is green", "-c", "broadcast good  morning")
    assert quiet.wait_for_exit() == 0
    assert (bytes(quiet.output), bytes(quiet.errors)) == (b"", b"")
    yoda.wait_for("hans: the build is green")
    yoda.wait_for("hans: good  morning")
    yoda.send("message hans well done")
    yoda.wait_until_answered()
    asking = run(chat, "--command", "whoelse")
    assert asking.wait_for_exit() == 0
    assert sorted(asking.lines) == ["yoda", "yoda: well done"]


def test_what_is_refused_is_told_by_the_exit_code(chat: Stage) -> None:
    refused = run(chat, "-c", "message nobody hi", "-c", "block luke")
    assert refused.wait_for_exit() == 3
    assert refused.lines == ["Error. Invalid user", "luke is blocked"]
    (chat.directory / "wrong").write_text("weird\n")
    chat.log_in_pipe("yoda")
    wrong = run(chat, "-c", "whoelse", "--password-file", str(chat.directory / "wrong"))
    assert wrong.ends(4) == ["Invalid Password. Please try again"]
    twice = run(chat, "-c", "whoelse", user="yoda")
    assert twice.ends(5) == [
        "Your account is already logged in elsewhere. Log out there first, then try again"
    ]


def test_commands_are_never_tried_as_passwords(chat: Stage) -> None:
    (chat.directory / "wrong").write_text("weird\n")
    for options in ([], ["--json"]):
        wrong = run(chat, *options, "--password-file", str(chat.directory / "wrong"))
        wrong.send("message yoda 1", "message yoda 2", "message yoda 3")
        assert wrong.wait_for_exit() == 4
        assert len(wrong.output.splitlines()) == 1
    chat.log_in_pipe("hans")


def test_three_wrong_passwords_have_a_code_of_their_own(chat: Stage) -> None:
    hans = chat.open_pipe()
    hans.send("hans", "one", "two", "three")
    hans.ends(6)
    assert run(chat, "-c", "whoelse").ends(6) == [
        "Your account is blocked due to multiple login failures. Please try again later"
    ]


def test_a_password_file_of_another_system_is_fine(chat: Stage) -> None:
    secret = chat.directory / "secret"
    for content in (b"\xef\xbb\xbfsolo\r\n", b" solo \t", b"solo\r\n\r\nsecond line"):
        secret.write_bytes(content)
        done = run(chat, "-c", "message yoda hi", "--password-file", str(secret))
        assert done.wait_for_exit() == 0, done.errors
    secret.write_bytes(b"\xef\xbb\xbf \r\nsolo\n")
    empty = run(chat, "-c", "whoelse", "--password-file", str(secret))
    assert empty.wait_for_exit() == 2
    assert empty.errors.decode() == (f"{secret} holds no password in its first line\n")


def test_no_server_and_no_sense_have_codes_of_their_own(chat: Stage) -> None:
    nowhere = run(chat, "-c", "whoelse", port=1)
    usages = {
        ("-c", "mesage yoda hi"): "-c 'mesage yoda hi': Invalid command",
        ("-c", "message yoda"): "-c 'message yoda': Usage: message <user> <message>",
        ("-c", "whoelse", "--password-file", "none"): "cannot read none: No such file or directory",
    }
    programs = {options: run(chat, *options) for options in usages}
    command = chat.client_command()
    programs["-c", "x"] = chat.open_pipe(*command, "-c", "whoelse")
    usages["-c", "x"] = "-c needs --user"
    programs["-c", "y"] = chat.open_pipe(*command, "--user", "hans", "-c", "whoelse")
    usages["-c", "y"] = (
        "there is no password for hans; set TRIO_CHAT_PASSWORD, or give --password-file"
    )
    for options, complaint in usages.items():
        assert programs[options].wait_for_exit() == 2
        assert programs[options].errors.decode() == f"{complaint}\n"
        assert programs[options].output == b""
    assert nowhere.wait_for_exit() == 1
    assert b"Cannot reach the server" in nowhere.errors


def test_json_tells_all_that_happens(chat: Stage) -> None:
    hans = run(chat, "--json")
    hans.wait_for(f'{{"event":"welcome","user":"hans","text":"{WELCOME}"}}')
    yoda = chat.log_in_pipe("yoda")
    hans.wait_for('{"event":"presence","user":"yoda","online":true,"text":"yoda logged in"}')
    yoda.send("message hans Hey\x1b[2J Dude", "broadcast all")
    hans.wait_for('{"event":"message","from":"yoda","text":"Hey Dude"}')
    hans.wait_for('{"event":"broadcast","from":"yoda","text":"all"}')
    hans.send("message yoda hi", "whoelse", "mesage yoda hi", "block hans", "searchFile x")
    hans.end_input()
    assert hans.wait_for_exit() == 3, "something was refused"
    answers = [event for event in events_of(hans) if "command" in event or "holders" in event]
    assert sorted(answers, key=str) == sorted(
        [
            {"event": "ok", "command": "message", "user": "yoda", "text": ""},
            {"event": "users", "command": "whoelse", "users": ["yoda"], "text": "yoda"},
            {
                "event": "error",
                "code": "invalid_command",
                "command": "",
                "user": None,
                "text": "Error. Invalid command",
            },
            {
                "event": "error",
                "code": "block_self",
                "command": "block",
                "user": "hans",
                "text": "Error. Cannot block self",
            },
            {
                "event": "found",
                "name": "x",
                "size": None,
                "chunks": None,
                "holders": [],
                "text": "Not available",
            },
            {"event": "ok", "command": "logout", "user": None, "text": ""},
        ],
        key=str,
    )
    assert answers[-1]["command"] == "logout"


def test_json_tells_of_a_server_that_is_not_there(chat: Stage) -> None:
    nowhere = run(chat, "--json", port=1)
    assert nowhere.wait_for_exit() == 1
    (event,) = events_of(nowhere)
    assert (event["event"], event["code"]) == ("error", "failure")
    assert nowhere.errors == b""


def test_colour_for_whoever_insists(chat: Stage) -> None:
    for choice, start in (("auto", b"Error."), ("always", b"\x1b[")):
        refused = run(chat, "--color", choice, "-c", "message nobody hi")
        assert refused.wait_for_exit() == 3
        assert refused.output.startswith(start)


def test_the_bot_of_the_documentation_answers(chat: Stage) -> None:
    command = chat.client_command()
    options = command[command.index("--state-dir") :]
    bot = chat.open_pipe(
        *("/usr/bin/env", f"TRIO_CHAT_PASSWORD={PASSWORDS['r2d2']}", sys.executable),
        *(str(ROOT / "docs" / "examples" / "bot.py"), HOST, str(chat.port), "r2d2", *options),
    )
    yoda = chat.log_in_pipe("yoda")
    yoda.send("message r2d2 nice to meet you", "message r2d2 help")
    yoda.wait_for("r2d2: I know: time, dice, help")
    yoda.send("message r2d2 Dice ")
    chat.watch.wait_until(
        lambda: any(f"r2d2: {number}" in yoda.lines for number in range(1, 7)),
        lambda: "a number",
    )
    assert len([line for line in yoda.lines if line.startswith("r2d2: ")]) == 2
    bot.kill()


def test_the_crontab_of_the_documentation_says_what_the_client_understands(chat: Stage) -> None:
    lines = (ROOT / "docs" / "examples" / "crontab").read_text().splitlines()
    commands = [line[line.index("trio-chat-client") :] for line in lines if line[0] != "#"]
    assert len(commands) == 2
    (chat.directory / ".herald").write_text(PASSWORDS["hans"])
    yoda = chat.log_in_pipe("yoda")
    for command, heard in zip(commands, ("Good morning", None), strict=True):
        words = shlex.split(command)[3:]
        words[words.index("herald")] = "hans"
        words[words.index(".herald")] = str(Path(chat.directory, ".herald"))
        words = [word.replace("message hans", "message yoda") for word in words]
        job = chat.open_pipe(*chat.client_command(), *words)
        assert job.wait_for_exit() == 0
        yoda.wait_for(f"hans: {heard or 'The backup has failed'}")


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")],
)
def test_output_that_cannot_be_written_is_said_in_one_line(
    chat: Stage, redirection: str, reason: str
) -> None:
    command = [*chat.client_command(), "--user", "hans", "--json"]
    hans = chat.open_pipe("sh", "-c", f'exec "$@" {redirection}', "sh", *command)
    hans.send(PASSWORDS["hans"], "whoelse")
    assert hans.wait_for_exit() == 1
    assert hans.errors.decode() == f"cannot write to standard output: {reason}\n"
