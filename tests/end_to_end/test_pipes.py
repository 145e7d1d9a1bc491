"""The client with redirected input and output: for scripts and pipes."""

from trio_chat import limits

from .programs import PASSWORDS, WELCOME
from .stage import Stage


def test_a_script_gets_plain_lines_and_nothing_else(chat: Stage) -> None:
    yoda = chat.log_in_pipe("yoda")
    hans = chat.open_pipe()
    hans.send("hans", "solo", "whoelse", "message yoda Hey Dude", "whatsthetime", "block hans")
    hans.send("message bob party time", "help logout", "whoelsesince 500", "logout", "whoelse")
    assert hans.wait_for_exit() == 3, "something was refused"
    assert hans.output.decode() == "".join(
        f"{line}\n"
        for line in (
            WELCOME,
            "yoda",
            "Error. Invalid command",
            "Error. Cannot block self",
            "Error. Invalid user",
            "logout",
            "Log out and leave.",
            "Ctrl-D and Ctrl-C on an empty line do the same.",
            "Example: logout",
            "yoda",
        )
    )
    assert hans.errors == b""
    yoda.wait_for("hans logged out")
    assert yoda.lines == ["hans logged in", "hans: Hey Dude", "hans logged out"]


def test_two_thousand_messages_in_one_go_are_all_acknowledged_and_in_order(chat: Stage) -> None:
    numbers = range(2000)
    yoda, hans = chat.log_in_pipe("yoda"), chat.open_pipe()
    hans.send("hans", "solo", *(f"message yoda number {number}" for number in numbers))
    hans.send(*(f"message luke number {number}" for number in numbers))
    hans.end_input()
    assert hans.ends(0) == [], "it says if something was not acknowledged"
    yoda.wait_for("hans logged out")
    texts = [f"hans: number {number}" for number in numbers]
    assert yoda.lines == ["hans logged in", *texts, "hans logged out"]
    luke = chat.open_pipe()
    luke.send("luke", PASSWORDS["luke"])
    luke.wait_for(texts[-1])
    luke.end_input()
    assert luke.ends(0) == texts


def test_files_serve_as_input_and_output(chat: Stage) -> None:
    (chat.directory / "in.txt").write_text("hans\nsolo\nmessage yoda from a file\nwhoelse\n")
    shell = chat.open_pipe(
        *("/bin/sh", "-c", '"$@" <in.txt >out.txt; "$@" </dev/null >>out.txt', "sh"),
        *chat.client_command(),
    )
    assert shell.wait_for_exit() == 1
    assert shell.errors == b""
    assert (chat.directory / "out.txt").read_text().splitlines() == [
        *(WELCOME, "No other users are online"),
        "The input ended before anybody was logged in",
    ]
    yoda = chat.log_in_pipe("yoda")
    yoda.wait_for("hans: from a file")


def test_lines_may_end_as_they_do_elsewhere(chat: Stage) -> None:
    yoda, hans = chat.log_in_pipe("yoda"), chat.open_pipe()
    hans.send(b"hans\r\nsolo\r\nmessage yoda with CRLF\r\n\r\nmessage yoda with no end")
    hans.end_input()
    assert hans.ends(0) == []
    yoda.wait_for("hans logged out")
    assert yoda.lines[1:-1] == ["hans: with CRLF", "hans: with no end"]


def test_lines_that_cannot_be_sent_are_explained_and_the_others_go_on(chat: Stage) -> None:
    yoda, hans = chat.log_in_pipe("yoda"), chat.log_in_pipe("hans")
    longest = "x" * limits.TEXT_BYTES_MAX
    hans.send(b"message yoda \xff\xfe\n", b"message yoda \xc3\n", "message yoda fine")
    hans.send(f"message yoda {longest}y", f"message yoda {longest}")
    hans.send("x" * (limits.LINE_BYTES_MAX + 1), "x" * 1_000_000, "message yoda the end")
    hans.end_input()
    assert hans.ends(3) == [
        "Error. This line is not valid UTF-8",
        "Error. This line is not valid UTF-8",
        "Error. A message can have at most 8192 bytes; this one has 8193",
        "Error. A line can have at most 65536 bytes",
        "Error. A line can have at most 65536 bytes",
    ]
    yoda.wait_for("hans logged out")
    assert yoda.lines[1:-1] == ["hans: fine", f"hans: {longest}", "hans: the end"]


def test_a_wrong_password_is_answered_and_the_next_line_is_the_next_try(chat: Stage) -> None:
    hans = chat.open_pipe()
    hans.send("hans", "weird", "solo", "whoelse")
    hans.end_input()
    assert hans.ends(0) == [
        "Invalid Password. Please try again",
        WELCOME,
        "No other users are online",
    ]


def test_an_input_that_ends_before_login_is_explained(chat: Stage) -> None:
    inputs = [[], ["hans"], ["hans", "weird"]]
    pipes = [chat.open_pipe() for _ in inputs]
    for pipe, lines in zip(pipes, inputs, strict=True):
        pipe.send(*lines)
        pipe.end_input()
    for pipe, status in zip(pipes, (1, 1, 4), strict=True):
        assert pipe.ends(status)[-1] == "The input ended before anybody was logged in"


def test_nothing_from_others_controls_a_terminal(chat: Stage) -> None:
    (yoda,) = chat.log_in("yoda")
    luke, hans = chat.log_in_pipe("luke"), chat.log_in_pipe("hans")
    texts = {
        "\x1b[2J\x1b[Hclear": "clear",
        "\x1b]0;title\x07bell\x07": "bell",
        "\x1b[31;45mred\x1b[0m": "red",
        "\x9b31mC1": "C1",
        "back\b\b\b\bspace": "backspace",
        "\u202eright to left": "right to left",
        "nul\x00": "nul",
    }
    forged = "first\rluke logged out"
    shown = [f"hans: {text}" for text in texts.values()]
    shown += ["hans: first", "    luke logged out"]
    yoda.shows("luke logged in", "hans logged in")
    for command in ("message yoda", "message luke", "broadcast"):
        hans.send(*(f"{command} {text}" for text in (*texts, forged)))
        hans.wait_until_answered()
    yoda.shows(*shown, *shown)
    for sequence in (b"\x1b[2J", b"\x1b]0;", b"\x07", b"\x1b[31;45m", b"\xc2\x9b", b"\x00"):
        assert sequence not in yoda.received
    luke.wait_for_count(shown[-1], 2)
    assert luke.lines == ["hans logged in", *shown, *shown]


def test_texts_of_all_languages_arrive_as_they_were(chat: Stage) -> None:
    texts = ["Grüße, ¿qué tal?", "你好,世界", "Привет 👋🏽 🚀", "e\u0301 is not é", "שלום"]
    hans, (yoda,) = chat.log_in_pipe("hans"), chat.log_in("yoda")
    hans.send(*(f"message yoda {text}" for text in texts[:3]))
    yoda.shows(*(f"hans: {text}" for text in texts[:2]))
    for text in texts:
        yoda.enter(f"message hans {text}")
    hans.wait_for(f"yoda: {texts[-1]}")
    assert hans.lines == ["yoda logged in", *(f"yoda: {text}" for text in texts)]


def test_an_output_that_nobody_reads_any_more_ends_the_client_quietly(chat: Stage) -> None:
    hans = chat.log_in_pipe("hans")
    hans.close_output()
    hans.send("whoelse")
    assert hans.wait_for_exit() == 1
    assert hans.errors == b""

    (chat.directory / "in.txt").write_text("yoda\nwise\n" + "help\n" * 1000)
    shell = chat.open_pipe(
        *("/bin/sh", "-c", '"$@" <in.txt | head -1', "sh"), *chat.client_command()
    )
    assert shell.wait_for_exit() == 0
    assert shell.output.decode() == f"{WELCOME}\n"
    assert shell.errors == b""


def test_marks_blanks_and_line_ends_of_other_systems_do_not_matter(chat: Stage) -> None:
    hans = chat.open_pipe()
    hans.send("\ufeffhans \r", " solo \t\r", "whoelse \r", "message hans \u200b\r", "logout\r")
    assert hans.wait_for_exit() == 3
    assert hans.output.decode().splitlines() == [
        WELCOME,
        "No other users are online",
        "Error. A message cannot be empty",
    ]
