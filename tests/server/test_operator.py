"""The operator's commands, on a server that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from trio_chat import limits
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire
from trio_chat.server import cli, operator
from trio_chat.server.admin import SOCKET_NAME, ListedFile

from .program import Program, Talker, running_server, talker
from .test_cli import complaint


class Stage:
    """A server, and what its operator types."""

    def __init__(self, server: Program, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.where = ["--data-dir", str(data)]
        self._capfd = capfd

    def operate(self, command: str, *arguments: str) -> str:
        assert cli.main([command, *self.where, *arguments]) == 0
        out, err = self._capfd.readouterr()
        assert err == ""
        return out

    def complaint(self, command: str, *arguments: str, code: int = 1) -> str:
        return complaint([command, *self.where, *arguments], code, self._capfd)


@pytest.fixture
def stage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Stage]:
    with running_server(tmp_path) as server:
        yield Stage(server, tmp_path / "data", capfd)


@pytest.fixture
def hans(stage: Stage) -> Iterator[Talker]:
    with talker(stage.server.port) as hans:
        hans.log_in("hans", "solo")
        yield hans


def test_a_session_is_ended(stage: Stage, hans: Talker) -> None:
    assert stage.operate("kick", "hans", "--message", "be\npolite").startswith(
        "Ended the session of hans. They can log in again;"
    )
    closed = hans.next()
    text = "You have been logged out by the operator of the server: be polite"
    assert closed == wire.Closed(ErrorCode.IDLE, text)
    assert hans.next() is None
    assert stage.complaint("kick", "hans") == "hans is not online"


def test_everybody_is_told_something(stage: Stage, hans: Talker) -> None:
    for _ in range(2):
        assert stage.operate("announce", "Back at noon") == "Told 1 user who is online.\n"
    first, second = hans.next(), hans.next()
    assert isinstance(first, wire.Announcement) and isinstance(second, wire.Announcement)
    assert (first.sender, first.text, first.operator) == ("the operator", "Back at noon", True)
    assert first.client != second.client, "or a client would show it once"
    for text in (" ", "x" * (limits.TEXT_BYTES_MAX + 1)):
        assert stage.complaint("announce", text, code=2).startswith("an announcement has 1 to ")
    assert stage.complaint("announce", "\udcff", code=2).endswith("is not valid UTF-8")


def test_nobody_comes_in_for_a_while(stage: Stage) -> None:
    assert stage.operate("logins", "off", "--message", "Back at noon").startswith("Nobody can log")
    assert "logins       OFF: Back at noon\n" in stage.operate("status")
    assert json.loads(stage.operate("status", "--json"))["logins_off"] == "Back at noon"
    with talker(stage.server.port) as hans:
        hans.send(wire.Hello(1, "pc", (wire.CODES,)), wire.Login(1, "hans", "solo"))
        hans.next()
        assert hans.next() == wire.Error(ErrorCode.LOGINS_OFF, "Back at noon", 1)
    assert stage.operate("logins", "on") == "People can log in.\n"
    assert "logins       on\n" in stage.operate("status")
    with talker(stage.server.port) as hans:
        hans.log_in("hans", "solo")


def test_files_are_listed_and_removed(stage: Stage, hans: Talker) -> None:
    for number, name in enumerate(("b.bin", "a.bin", "c.bin"), 2):
        file = wire.File(name, 1000, 10, 16384, bytes(32))
        hans.send(wire.Register(number, file, (1,) if name == "a.bin" else ()))
        hans.next()
    assert stage.operate("files").splitlines() == [
        "a.bin  1,000 bytes, of hans, 1 holder online",
        "b.bin  1,000 bytes, of hans, nobody for 0 days",
        "c.bin  1,000 bytes, of hans, nobody for 0 days",
        "3 registered files.",
    ]
    assert stage.operate("files", "--user", "yoda") == "0 registered files.\n"
    listed = [json.loads(line) for line in stage.operate("files", "--json").splitlines()]
    assert [(file["name"], file["owner"], file["holders"]) for file in listed] == [
        ("a.bin", "hans", 1),
        ("b.bin", "hans", 0),
        ("c.bin", "hans", 0),
    ]
    assert stage.operate("files", "--remove", "a.bin") == "Removed 1 registered file.\n"
    assert stage.complaint("files", "--remove", "a.bin") == "no file is registered as a.bin"
    assert stage.operate("files", "--remove-all-of", "hans") == "Removed 2 registered files.\n"
    error = stage.complaint("files", "--remove-all-of", "hans")
    assert error == "hans has registered no files"


def test_a_long_list_of_files_comes_in_parts(
    stage: Stage, hans: Talker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    ask_server = operator.ask_server

    def count(directory: Path, question: object, kind: type) -> object:
        asked.append(question)
        return ask_server(directory, question, kind)  # type: ignore[arg-type]

    monkeypatch.setattr(operator, "ask_server", count)
    number = limits.FILES_LISTED_MAX + 1
    for id in range(2, number + 2):
        file = wire.File("ä" * 100 + str(id), 0, 0, 1, bytes(32))
        hans.send(wire.Register(id, file, ()))
        hans.next()
    assert stage.operate("files").splitlines()[-1] == f"{number} registered files."
    assert len(asked) == 3


def test_nothing_in_a_name_controls_the_terminal() -> None:
    odd = ListedFile("a\u202eb", 1, "hans", 0, 3 * 86400.0)
    assert operator._described(odd) == "ab  1 bytes, of hans, nobody for 3 days"


@pytest.mark.parametrize(
    "command",
    [["kick", "hans"], ["announce", "x"], ["logins", "off"], ["files"], ["files", "--remove", "x"]],
)
def test_without_a_server_each_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    first, *rest = command
    error = complaint([first, "--data-dir", str(tmp_path), *rest], 1, capfd)
    assert error.startswith(f"no server answers at {tmp_path / SOCKET_NAME}; is it running")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["kick", "4000"], "PORT --data-dir is required"),
        (["announce", "4000", "two", "words"], "unrecognized arguments: words"),
        (["logins", "4000", "maybe"], "invalid choice: 'maybe'"),
        (["files", "4000", "--remove", "x", "--user", "y"], "not allowed with"),
        (["files"], "PORT --data-dir is required"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: list[str], error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert error in complaint(arguments, 2, capfd)
