from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_chat import limits
from trio_chat.client import grammar, meanings
from trio_chat.client.grammar import parse
from trio_chat.client.meanings import UNNUMBERED, Help, Line
from trio_chat.errors import ErrorCode, UsageError
from trio_chat.protocol import messages as wire
from trio_chat.text import is_blank


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("message yoda Hey Dude", wire.Message(UNNUMBERED, "yoda", "Hey Dude")),
        ("  message\tyoda   Hey  Dude \t", wire.Message(UNNUMBERED, "yoda", "Hey  Dude")),
        ("message yoda a\tb", wire.Message(UNNUMBERED, "yoda", "a\tb")),
        ("message yoda \u00a0\U0001f468\u200d\U0001f469", None),
        ("broadcast vader sucks", wire.Broadcast(UNNUMBERED, "vader sucks")),
        ("broadcast   a   b", wire.Broadcast(UNNUMBERED, "a   b")),
        ("whoelse", wire.WhoElse(UNNUMBERED)),
        ("whoelsesince 200", wire.WhoElseSince(UNNUMBERED, 200.0)),
        ("whoelsesince 0", wire.WhoElseSince(UNNUMBERED, 0.0)),
        ("whoelsesince 0.5", wire.WhoElseSince(UNNUMBERED, 0.5)),
        ("block hans", wire.Block(UNNUMBERED, "hans")),
        ("unblock hans ", wire.Unblock(UNNUMBERED, "hans")),
        ("startprivate luke", meanings.StartPrivate("luke")),
        ("private luke hey  dude ", meanings.Private("luke", "hey  dude")),
        (" stopprivate\tluke", meanings.StopPrivate("luke")),
        ("logout", wire.Logout(UNNUMBERED)),
    ],
)
def test_meanings(line: str, meaning: Line | None) -> None:
    if meaning is None:
        meaning = wire.Message(UNNUMBERED, "yoda", line.removeprefix("message yoda "))
    assert parse(line) == meaning


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("register /a/b.bin", meanings.RegisterFile(Path("/a/b.bin"))),
        ("register /a b/c  d.bin ", meanings.RegisterFile(Path("/a b/c  d.bin"))),
        ('register "/a b/c.bin"', meanings.RegisterFile(Path("/a b/c.bin"))),
        ("register '/a b/ c'", meanings.RegisterFile(Path("/a b/ c"))),
        ("register /a/b'", meanings.RegisterFile(Path("/a/b'"))),
        ("register ~/a", meanings.RegisterFile(Path("/home/of luke/a"))),
        ('register "~/a b"', meanings.RegisterFile(Path("/home/of luke/a b"))),
        ("register a", meanings.RegisterFile(Path.cwd() / "a")),
        ('register "~nobody here/a"', meanings.RegisterFile(Path.cwd() / "~nobody here/a")),
        ("searchFile a b.bin", wire.Search(UNNUMBERED, "a b.bin")),
        ("searchFile 'a b.bin'", wire.Search(UNNUMBERED, "a b.bin")),
        ("searchChunk a.bin 3", wire.Search(UNNUMBERED, "a.bin", (3,))),
        ("searchChunk a.bin 1 4", wire.Search(UNNUMBERED, "a.bin", (1, 4))),
        ("searchChunk a.bin 4,1", wire.Search(UNNUMBERED, "a.bin", (1, 4))),
        ("searchChunk a b.bin 2-5, 10", wire.Search(UNNUMBERED, "a b.bin", (2, 3, 4, 5, 10))),
        ('searchChunk "a 7" 2', wire.Search(UNNUMBERED, "a 7", (2,))),
        ("download a b.bin", meanings.Download("a b.bin")),
        ('download "a b.bin"', meanings.Download("a b.bin")),
        ("download -rf", meanings.Download("-rf")),
        ("downloads", meanings.ListDownloads()),
        ("cancel a b.bin", meanings.Cancel("a b.bin")),
        ("private luke download a.bin 3", meanings.DownloadChunks("luke", "a.bin", "3")),
        ("private luke download  a.bin\t2-4,7", meanings.DownloadChunks("luke", "a.bin", "2-4,7")),
        ("private luke download a.bin", meanings.Private("luke", "download a.bin")),
        ("private luke download", meanings.Private("luke", "download")),
        ("private luke download it now", meanings.Private("luke", "download it now")),
        ("private luke download a b 3", meanings.Private("luke", "download a b 3")),
        ('private luke download "a b" 3', meanings.DownloadChunks("luke", "a b", "3")),
        ("private luke download 'a 1 b'  2-4", meanings.DownloadChunks("luke", "a 1 b", "2-4")),
        ('private luke download "a b"', meanings.Private("luke", 'download "a b"')),
        ('private luke download "a b" 3 4', meanings.Private("luke", 'download "a b" 3 4')),
        ('private luke download "a b" now', meanings.Private("luke", 'download "a b" now')),
        ("private luke download \"a b' 3", meanings.Private("luke", "download \"a b' 3")),
        ("private luke downloads a 3", meanings.Private("luke", "downloads a 3")),
        ("private luke Download a 3", meanings.Private("luke", "Download a 3")),
    ],
)
def test_meanings_of_what_concerns_files(
    line: str, meaning: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/of luke")
    assert parse(line) == meaning


def test_a_current_directory_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    with pytest.raises(UsageError, match="The current directory is gone; type the whole path"):
        parse("register a")
    assert parse("register /a") == meanings.RegisterFile(Path("/a"))


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("register", "Usage: register <filename>"),
        ('register ""', "Usage: register <filename>"),
        ("register a\0b", "Usage: register <filename>"),
        ('private luke download "" 3', "Usage: private <user> <message>"),
        ("searchFile", "Usage: searchFile <filename>"),
        ("searchChunk a.bin", "Usage: searchChunk <filename> <chunks>"),
        ("searchChunk a.bin x", "Usage: searchChunk <filename> <chunks>"),
        ("searchChunk a.bin 0", "The file has the chunks 1 to 10, and no chunk 0"),
        ("searchChunk a.bin 11", "The file has the chunks 1 to 10, and no chunk 11"),
        ("searchChunk a.bin 5-2", "A range of chunks is written like 2-5, not 5-2"),
        ("searchChunk a.bin 1--2", "Chunks are written like 3 or 1,4 or 2-5, not 1--2"),
        ("searchChunk a.bin 9999999999", "Chunks are written like 3 or 1,4 or 2-5, not 9999999999"),
        ("download", "Usage: download <filename>"),
        ("downloads now", "Usage: downloads"),
        ("cancel", "Usage: cancel <filename>"),
        ("download " + "x" * 256, "A file's name has at most 255 bytes"),
        ("searchFile " + "\u00e4" * 128, "A file's name has at most 255 bytes"),
    ],
)
def test_what_makes_no_sense_about_files(line: str, error: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert str(caught.value) == f"Error. {error}"


def test_the_list_of_commands_fits_a_terminal() -> None:
    listed = parse("help")
    assert isinstance(listed, Help)
    assert max(len(line) for line in listed.lines) <= 80
    for command in ("register", "searchFile", "searchChunk", "download", "downloads", "cancel"):
        assert any(line.split()[0] == command for line in listed.lines)


@pytest.mark.parametrize(
    "line",
    ["whatsthetime", "Message yoda x", "WHOELSE", "who else", "messageyoda", "\u00a0whoelse", "/"],
)
def test_unknown_commands_are_told_as_the_assignment_does(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert str(caught.value) == "Error. Invalid command"


@pytest.mark.parametrize(
    ("line", "usage"),
    [
        ("message", "message <user> <message>"),
        ("message yoda", "message <user> <message>"),
        ("message yoda   ", "message <user> <message>"),
        ("broadcast", "broadcast <message>"),
        ("whoelse now", "whoelse"),
        ("whoelsesince", "whoelsesince <seconds>"),
        ("whoelsesince 1 2", "whoelsesince <seconds>"),
        ("whoelsesince -1", "whoelsesince <seconds>"),
        ("whoelsesince nan", "whoelsesince <seconds>"),
        ("whoelsesince inf", "whoelsesince <seconds>"),
        ("whoelsesince 1e3", "whoelsesince <seconds>"),
        ("whoelsesince 1_0", "whoelsesince <seconds>"),
        ("whoelsesince \u0663", "whoelsesince <seconds>"),
        ("whoelsesince " + "9" * 400, "whoelsesince <seconds>"),
        ("whoelsesince .", "whoelsesince <seconds>"),
        ("block", "block <user>"),
        ("block hans luke", "block <user>"),
        ("unblock", "unblock <user>"),
        ("startprivate", "startprivate <user>"),
        ("startprivate luke now", "startprivate <user>"),
        ("private", "private <user> <message>"),
        ("private luke", "private <user> <message>"),
        ("stopprivate", "stopprivate <user>"),
        ("stopprivate luke yoda", "stopprivate <user>"),
        ("logout now", "logout"),
        ("help message yoda", "help [<command>]"),
    ],
)
def test_wrong_arguments_are_told_with_the_usage(line: str, usage: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert str(caught.value) == f"Error. Usage: {usage}"


@pytest.mark.parametrize("prefix", ["message yoda ", "private yoda ", "broadcast "])
def test_the_longest_text_is_counted_in_bytes(prefix: str) -> None:
    parse(prefix + "x" * limits.TEXT_BYTES_MAX)
    parse(prefix + "\u20ac" * (limits.TEXT_BYTES_MAX // 3))
    for text in ("x" * (limits.TEXT_BYTES_MAX + 1), "\u20ac" * (limits.TEXT_BYTES_MAX // 3 + 1)):
        with pytest.raises(UsageError) as caught:
            parse(prefix + text)
        size = len(text.encode())
        assert str(caught.value) == ErrorCode.TEXT_TOO_LONG.describe(size=size)
        assert str(limits.TEXT_BYTES_MAX) in str(caught.value)


@pytest.mark.parametrize("line", ["message {} x", "block {}", "unblock {}"])
def test_a_name_that_nobody_can_have_is_not_sent(line: str) -> None:
    parse(line.format("x" * limits.NAME_BYTES_MAX))
    with pytest.raises(UsageError) as caught:
        parse(line.format("x" * (limits.NAME_BYTES_MAX + 1)))
    assert str(caught.value) == "Error. Invalid user"


def test_bytes_that_were_not_utf8_are_told() -> None:
    line = b"message yoda caf\xe9".decode(errors="surrogateescape")
    for parser in (parse, grammar.parse_user, grammar.parse_password):
        with pytest.raises(UsageError) as caught:
            parser(line)
        assert str(caught.value) == "Error. This line is not valid UTF-8"


def test_user_names_and_passwords() -> None:
    assert grammar.parse_user(" yoda\t") == "yoda"
    assert grammar.parse_user("  ") == ""
    assert grammar.parse_user("\ufeffhans \r\n") == "hans"
    assert grammar.parse_user("Zoe\u0308") == "Zo\u00eb"
    assert grammar.parse_password("\ufefftwo words \r") == "two words"
    assert grammar.parse_password("Zoe\u0308") == "Zoe\u0308", "a hash may have been made of it"
    assert grammar.parse_password("") == ""
    with pytest.raises(UsageError, match="A user name can have at most 64 bytes"):
        grammar.parse_user("\u00e4" * 33)
    with pytest.raises(UsageError, match="A password can have at most 1024 bytes"):
        grammar.parse_password("x" * 1025)


# -- Help --------------------------------------------------------------------------------


def test_help_lists_every_command_aligned() -> None:
    listing = parse("help")
    assert isinstance(listing, Help)
    usages = [command.usage for command in grammar.COMMANDS] + ["help [<command>]"]
    assert len(listing.lines) == len(usages)
    columns = set()
    for usage, line in zip(usages, listing.lines, strict=True):
        assert line.startswith(usage + "  ")
        columns.add(len(line) - len(line[len(usage) :].lstrip()))
    assert len(columns) == 1


@pytest.mark.parametrize("command", grammar.COMMANDS, ids=lambda command: command.name)
def test_help_explains_a_command_with_an_example_that_works(command: grammar.Command) -> None:
    explanation = parse(f"help {command.name}")
    assert isinstance(explanation, Help)
    assert explanation.lines[0] == command.usage
    assert explanation.lines[-1] == f"Example: {command.example}"
    assert not isinstance(parse(command.example), Help)


def test_help_of_help_and_of_nothing_known() -> None:
    explanation = parse("help help")
    assert isinstance(explanation, Help)
    assert explanation.lines[0] == "help [<command>]"
    with pytest.raises(UsageError, match="There is no such command"):
        parse("help me")


def test_table_is_consistent() -> None:
    names = [command.name for command in grammar.COMMANDS]
    assert len(set(names)) == len(names)
    for command in grammar.COMMANDS:
        assert not command.summary.endswith(".")
        assert all(len(line) <= 80 for line in command.details)


# -- Any line at all -----------------------------------------------------------------------

_words = st.sampled_from([command.name for command in grammar.COMMANDS] + ["help", "yoda", "12"])
_lines = st.lists(_words | st.text(st.characters(), max_size=20), max_size=5).map(" ".join)


@given(_lines)
def test_no_line_raises_anything_but_a_usage_error(line: str) -> None:
    with suppress(UsageError):
        parse(line)


_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text == text.strip(" \t") and not is_blank(text)
)


@pytest.mark.parametrize("text", ["\u00a0", "\u200b", "\u3164 \ufe0f"])
@pytest.mark.parametrize("command", ["message yoda", "broadcast", "private yoda"])
def test_a_text_of_which_nothing_can_be_seen_is_empty(command: str, text: str) -> None:
    with pytest.raises(UsageError, match=r"^Error. A message cannot be empty$"):
        parse(f"{command} {text}")


def test_names_are_composed_as_the_server_knows_them() -> None:
    name, composed = "Zoe\u0308", "Zo\u00eb"
    assert parse(f"message {name} {name}") == wire.Message(UNNUMBERED, composed, name)
    assert parse(f"block {name}") == wire.Block(UNNUMBERED, composed)
    assert parse(f"searchFile {name}") == wire.Search(UNNUMBERED, composed)
    assert parse(f"private {name} hi") == meanings.Private(composed, "hi")


@given(_texts, st.integers(1, 3), st.integers(0, 3))
def test_the_text_of_a_message_is_kept(text: str, gap: int, margin: int) -> None:
    blanks = " " * gap
    line = f"{' ' * margin}message{blanks}yoda{blanks}{text}{' ' * margin}"
    assert parse(line) == wire.Message(UNNUMBERED, "yoda", text)
    assert parse(f"broadcast{blanks}{text}") == wire.Broadcast(UNNUMBERED, text)


@pytest.mark.parametrize(
    "text",
    [
        *("download a.bin", "download a.bin x", "download a.bin -1", "download a.bin 3x"),
        *("download a.bin 0x1", "download  a.bin  three", 'download "my file" x'),
        *("download my file", "download 'my file' 1x"),
    ],
)
def test_what_looks_like_a_download_of_a_known_file_is_none_by_mistake(text: str) -> None:
    usage = grammar.mistyped_download(text, {"a.bin", "my file"})
    assert usage == "private <user> download <filename> <chunk>"


@pytest.mark.parametrize(
    "text",
    ["download", "download it tomorrow", "download b.bin x", "downloads a.bin x", "a.bin x", "hi"],
)
def test_a_text_may_begin_with_the_word(text: str) -> None:
    assert grammar.mistyped_download(text, {"a.bin", "my file"}) is None
