"""Backup, restore and status, as an operator sees them; the real disk is in `end_to_end`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import trio

from trio_chat import limits
from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery, Message
from trio_chat.server import cli, operations
from trio_chat.server.admin import SOCKET_NAME
from trio_chat.server.health import Status
from trio_chat.storage.backup import DATABASE_NAME
from trio_chat.storage.lock import locked
from trio_chat.storage.sqlite import open_sqlite

from .program import ENVIRONMENT, free_port, run_module, running_server, talker, write_credentials
from .test_cli import complaint

STATUS = Status(
    version="1.2",
    uptime=3 * 86400 + 4 * 3600 + 5 * 60 + 6.7,
    users_online=1,
    connections=1234,
    mailboxes_waiting=1,
    messages_waiting=2,
    store_failure="",
    commits=1000,
    commit_last=0.0012,
    commit_p99=0.034,
    commit_under_way=0,
    loop_lag_p99=0.0005,
    loop_lag_max=1.5,
    memory_bytes=50 * 2**20,
    open_files=None,
)


async def fill(data: Path, count: int) -> None:
    store = await open_sqlite(data / DATABASE_NAME)
    letters = tuple(("yoda", Delivery(seq, "hans", "pc", seq, "hello")) for seq in range(1, count))
    await store.commit(Commit(1, letters, (), (("yoda", "luke", True),)))
    await store.close()


def test_a_status_is_aligned_lines() -> None:
    told = dict(operations._rows(STATUS))
    assert told == {
        "version": "1.2",
        "uptime": "3 days 04:05:06",
        "online": "1 user, 1,234 connections",
        "logins": "on",
        "waiting": "2 messages in 1 mailbox",
        "store": "works",
        "commits": "1.2 ms the last, 34.0 ms p99 of the last 1,000",
        "event loop": "late by 0.5 ms p99, 1,500.0 ms at most in the last minute",
        "memory": "50.0 MiB",
        "open files": "unknown",
    }
    worse = msgspec.structs.replace(STATUS, store_failure="full", commit_under_way=2, open_files=9)
    told = dict(operations._rows(worse))
    assert told["store"] == "FAILING: full; a commit is under way for 2,000.0 ms"
    assert told["open files"] == "9"
    closed = msgspec.structs.replace(STATUS, logins_off="Back at noon")
    assert dict(operations._rows(closed))["logins"] == "OFF: Back at noon"


def test_without_a_server_everything_but_the_status_works(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, saved = tmp_path / "data", tmp_path / "saved"
    where = ["--data-dir", str(data)]
    trio.run(fill, data, 4)
    assert cli.main(["backup", *where, str(saved)]) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert (len(lines), err) == (2, "")
    assert lines[0].startswith(f"Saved 3 messages, 1 block and 0 registered files to {saved}, 0.0 ")
    sha256 = lines[1].removeprefix("SHA-256: ")
    assert len(sha256) == 64

    assert complaint(["backup", *where, str(saved)], 1, capfd).startswith(f"{saved} exists; ")
    error = complaint(["restore", *where, "--hash", "0" * 64, str(saved)], 1, capfd)
    assert error == f"{saved} is not what was backed up: its SHA-256 is {sha256}"
    assert cli.main(["restore", *where, "--hash", sha256, str(saved)]) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[:2] == [
        f"Restored 3 messages, 1 block and 0 registered files from {saved} to {data}.",
        f"SHA-256: {sha256}",
    ]
    assert lines[2].startswith(f"The database from before is {data}/chat.db.20")
    assert (len(lines), err) == (3, "")
    assert complaint(["status", *where], 1, capfd) == (
        f"no server answers at {data / SOCKET_NAME}; is it running, with this data directory, as"
        " this user?"
    )
    assert complaint(["backup", "--data-dir", str(tmp_path / "x"), "y"], 1, capfd).startswith(
        f"there is no {tmp_path}/x/chat.db"
    )


def test_with_a_server_everything_but_a_restore_works(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-dir", str(tmp_path / "data")]
    saved = tmp_path / "saved"
    with running_server(tmp_path) as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")
        for number in range(2, 12):
            hans.send(Message(number, "yoda", "hello"))
            hans.next()
        assert cli.main(["status", *where]) == 0
        out = capfd.readouterr().out
        assert "online       1 user, " in out
        assert "waiting      10 messages in 1 mailbox" in out
        assert "store        works" in out
        assert cli.main(["status", *where, "--json"]) == 0
        status = json.loads(capfd.readouterr().out)
        assert (status["type"], status["messages_waiting"]) == ("status", 10)
        assert status["commits"] == 10
        assert cli.main(["backup", *where, str(saved)]) == 0
        lines = capfd.readouterr().out.splitlines()
        assert lines[0].startswith(f"Saved 10 messages, 0 blocks and 0 registered files to {saved}")
        assert lines[1].startswith("The server went on; its longest commit meanwhile took ")
        error = complaint(["restore", *where, str(saved)], 1, capfd)
        assert error == (
            f"a server runs on {tmp_path / 'data'}; stop it first, then restore: {saved} was not"
            " touched"
        )
        assert complaint(["backup", *where, str(tmp_path / "no" / "x")], 1, capfd).startswith(
            "cannot write "
        )
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            *("credentials.txt", "data", "saved", "stderr", "stdout"),
        ]
        server.process.terminate()
        hans.close()
        assert server.exit_code() == 0
        assert server.printed() == ("", "")


def test_a_directory_whose_name_is_not_utf8_takes_no_backup(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "\udcff"
    place.mkdir()
    monkeypatch.chdir(place)
    where = ["--data-dir", str(tmp_path / "data")]
    with running_server(tmp_path):
        error = complaint(["backup", *where, "saved"], 1, capfd)
        assert error.endswith("/saved: its name is not valid UTF-8")
    error = complaint(["backup", *where, "saved"], 1, capfd)
    assert error.endswith(f"/.saved.{os.getpid()}.new: its name is not valid UTF-8")
    assert list(place.iterdir()) == []


def test_a_server_that_cannot_be_asked_is_not_gone_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    trio.run(fill, data, 4)
    with locked(data):
        error = complaint(["backup", "--data-dir", str(data), str(tmp_path / "saved")], 1, capfd)
    assert error.startswith(f"a server uses {data}, but nobody answers at {data / SOCKET_NAME}; ")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_without_descriptors_the_operator_is_told_once_and_answered(tmp_path: Path) -> None:
    write_credentials(tmp_path)
    port, data = free_port(), tmp_path / "data"
    options = ("--data-dir", str(data), "--host", "127.0.0.1")
    server = [sys.executable, "-m", "trio_chat.server", str(port), "60", "600", *options]
    limited = ["sh", "-c", f'ulimit -n {limits.DESCRIPTORS_RESERVED_MAX + 20} && exec "$@"', "sh"]
    with (
        subprocess.Popen(
            [*limited, *server], cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE
        ) as process,
        ExitStack() as connections,
    ):
        deadline = time.monotonic() + 20
        while True:
            try:
                connections.enter_context(socket.create_connection(("127.0.0.1", port)))
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        for _ in range(40):
            connections.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert process.stderr is not None
        told = process.stderr.readline().decode()
        for _ in range(3):
            done = run_module("trio_chat.server", "status", *options[:2], directory=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
            assert "open files" in done.stdout
        process.terminate()
        assert process.wait() == 0
        assert "there are 20 connections, and others wait for room" in told
        assert process.stderr.read() == b""
