"""``passwd --remove``: what goes with an account, whether a server runs or not."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
import trio

from trio_chat.core.effects import Commit
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire
from trio_chat.server import cli, passwd, removal
from trio_chat.storage.backup import DATABASE_NAME
from trio_chat.storage.lock import locked
from trio_chat.storage.sqlite import open_sqlite

from .harness import QUICK_HASHER
from .program import Talker, running_server, talker, wait_until, write_credentials
from .test_cli import complaint

FILE = wire.File("a.bin", 1000, 10, 16384, bytes(32))


async def fill(data: Path) -> None:
    store = await open_sqlite(data / DATABASE_NAME)
    letters = tuple(("yoda", wire.Delivery(seq, "hans", "pc", seq, "hello")) for seq in (1, 2))
    luke = ("luke", wire.Delivery(3, "hans", "pc", 3, "hello"))
    blocks = (("yoda", "luke", True), ("hans", "yoda", True), ("hans", "luke", True))
    files = (("yoda", FILE), ("hans", wire.File("b.bin", 0, 0, 1, bytes(32))))
    await store.commit(Commit(1, (*letters, luke), (), blocks, files))
    await store.close()


async def kept(data: Path) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    store = await open_sqlite(data / DATABASE_NAME)
    restored = await store.restore()
    await store.close()
    return (
        sorted(restored.waiting),
        sorted(restored.blocks),
        sorted(file.name for _, file in restored.files),
    )


def next_reply(client: Talker) -> wire.Reply:
    while not isinstance(message := client.next(), wire.Reply):
        assert message is not None
    return message


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data of a server that was started with the usual directory, and does not run."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    data = tmp_path / "trio-chat" / "server-4000"
    trio.run(fill, data)
    credentials = write_credentials(tmp_path)
    removal.note_credentials(data, credentials)
    other = tmp_path / "trio-chat" / "server-4001"
    other.mkdir()
    removal.note_credentials(other, tmp_path / "others.txt")
    return data


def remove(data: Path, *options: str) -> int:
    path = data.parent.parent / "credentials.txt"
    return cli.main(["passwd", "--remove", "yoda", "--credentials", str(path), *options])


def test_what_waits_goes_with_the_account(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert remove(data) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.splitlines()[1:] == [
        f"Deleted 2 waiting messages, 2 blocks and 1 registered file of yoda in {data}."
    ]
    assert trio.run(kept, data) == (["luke"], [("hans", "luke")], ["b.bin"])


def test_or_is_kept_and_told(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = trio.run(kept, data)
    assert remove(data, "--keep-mail") == 0
    assert capfd.readouterr().out.splitlines()[1:] == [
        f"In {data} 2 waiting messages, 2 blocks and 1 registered file of yoda are kept."
    ]
    assert trio.run(kept, data) == before


def test_a_new_user_of_the_name_is_told_of_what_is_kept(
    data: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwd, "HASHER", QUICK_HASHER)
    path = data.parent.parent / "credentials.txt"
    for user, extra in (
        ("luke", "1 message to an earlier account of this name will be shown to luke at the"),
        ("leia", ""),
        ("hans", ""),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
        assert cli.main(["passwd", user, "--credentials", str(path)]) == 0
        _, *more = capfd.readouterr().out.splitlines()
        assert [line[: len(extra)] for line in more] == [extra] * bool(extra)


def test_without_data_it_is_said_what_is_left_to_do(
    data: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (data / removal.NOTE_NAME).unlink()
    assert remove(data) == 0
    assert capfd.readouterr().out.splitlines()[1].startswith("No data of a server were found")
    assert trio.run(kept, data)[0] == ["luke", "yoda"]


def test_data_that_cannot_be_changed_are_told_of(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = data.parent.parent / "credentials.txt"
    with locked(data):  # by a server that does not answer
        error = complaint(["passwd", "--remove", "yoda", "--credentials", str(path)], 1, capfd)
    assert error.startswith(f"Removed yoda from {path}. What is kept of yoda was not deleted in ")
    assert "yoda" not in path.read_text()
    missing = data.parent / "nothing"
    path.write_text("hans solo\nyoda wise\n")
    error = complaint(
        ["passwd", "--remove", "yoda", "--credentials", str(path), "--data-dir", str(missing)],
        1,
        capfd,
    )
    assert error.endswith(f"{missing}: there is no data of a server")
    assert not missing.exists()


def test_a_running_server_lets_the_user_go_and_deletes_what_waits(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--credentials", str(tmp_path / "credentials.txt")]
    arguments += ["--data-dir", str(tmp_path / "data")]
    with running_server(tmp_path) as server, talker(server.port) as hans:
        with talker(server.port) as yoda:
            hans.log_in("hans", "solo")
            hans.send(wire.Message(2, "yoda", "hello"))
            assert hans.next() == wire.Ok(2)
            yoda.send(wire.Hello(1, "pc", (wire.CODES,)), wire.Login(1, "yoda", "wise"))
            assert [type(yoda.next()) for _ in range(3)] == [wire.Welcome, wire.Ok, wire.Delivery]
            assert cli.main(["passwd", "--remove", "yoda", *arguments]) == 0
            assert capfd.readouterr().out.splitlines()[1:] == [
                "Deleted 1 waiting message, 0 blocks and 0 registered files of yoda in"
                f" {tmp_path / 'data'}."
            ]
            closed = yoda.next()
            assert isinstance(closed, wire.Closed) and closed.code is ErrorCode.ACCOUNT_REMOVED
        with (tmp_path / "credentials.txt").open("a") as stream:
            stream.write("yoda new\n")
        numbers = itertools.count(3)

        def is_known() -> bool:
            hans.send(wire.Block(next(numbers), "yoda"))
            return isinstance(next_reply(hans), wire.Ok)

        wait_until(is_known)
        with talker(server.port) as yoda:
            yoda.send(wire.Hello(1, "pc", ()), wire.Login(1, "yoda", "new"))
            yoda.next()
            assert yoda.next() == wire.Ok(1), "nothing waits"
    assert (tmp_path / "data" / removal.NOTE_NAME).read_text() == str(tmp_path / "credentials.txt")
