"""A real server on a disk that is full, read-only, damaged or stuck; and its stop."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.program import (
    ENVIRONMENT,
    PATIENCE_SECONDS,
    Program,
    free_port,
    running_server,
    talker,
    write_credentials,
)
from trio_chat import limits
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire

TEXT = "x" * 4000
_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE = 1


def start(directory: Path, prepare: Callable[[], None] | None = None) -> tuple[int, str]:
    """Start a server that ends by itself; its exit code, and what it says."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "trio_chat.server", str(free_port()), "60", "600"),
            *("--credentials", str(write_credentials(directory))),
            *("--data-dir", str(directory / "data"), "--host", "127.0.0.1"),
        ],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=PATIENCE_SECONDS,
        check=False,
        preexec_fn=prepare,
    )
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr.removeprefix("trio-chat-server: ")


def stop(server: Program) -> None:
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0


def run_once(directory: Path) -> None:
    """What a server leaves that has run."""
    with running_server(directory) as server:
        stop(server)


def limit_files(process: int, size: int) -> None:
    """No file of a process may become larger: the disk is full, or has room again."""
    hard = resource.prlimit(process, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, hard))


def obey_modes() -> None:
    """Modes of files hold for us too, if we are root."""
    ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)


# -- At the start ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("file_mode", "mode"), [(0o400, 0o500), (0o400, 0o700), (0o600, 0o500)])
def test_a_read_only_file_or_directory_is_refused(
    tmp_path: Path, file_mode: int, mode: int
) -> None:
    run_once(tmp_path)
    data = tmp_path / "data"
    (data / "chat.db").chmod(file_mode)
    data.chmod(mode)
    code, error = start(tmp_path, obey_modes)
    data.chmod(0o700)
    assert code == 1
    assert error.startswith(f"cannot use {data / 'chat.db'}: it can't be written (")
    assert "it and its directory must belong to this user" in error


def test_a_read_only_directory_of_a_new_server_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(0o500)
    code, error = start(tmp_path, obey_modes)
    assert code == 1
    assert error.startswith(f"cannot use {tmp_path / 'data' / 'chat.db'}: it can't be written (")


def test_a_full_disk_is_refused(tmp_path: Path) -> None:
    run_once(tmp_path)
    code, error = start(tmp_path, lambda: limit_files(0, 4096))
    assert code == 1
    assert error.startswith(f"cannot use {tmp_path / 'data' / 'chat.db'}: the disk failed (")
    assert "it may be full" in error


@pytest.mark.parametrize("damage", ["noise", "cut"])
def test_a_damaged_database_is_refused_and_a_backup_helps(tmp_path: Path, damage: str) -> None:
    database = tmp_path / "data" / "chat.db"
    operate = [sys.executable, "-m", "trio_chat.server"]
    where = ["--data-dir", str(tmp_path / "data"), str(tmp_path / "saved")]
    with running_server(tmp_path) as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")
        for number in range(2, 22):
            hans.send(wire.Message(number, "yoda", TEXT))
            assert hans.next() == wire.Ok(number)
        subprocess.run([*operate, "backup", *where], env=ENVIRONMENT, check=True)
        hans.close()
        stop(server)
    whole = database.read_bytes()
    damaged = whole[:-8192] if damage == "cut" else whole[:40960] + b"?" * 4096 + whole[45056:]
    database.write_bytes(damaged)
    code, error = start(tmp_path)
    assert code == 1
    assert error.startswith(f"cannot use {database}: it is damaged (")
    assert "restore a backup with 'trio-chat-server restore'" in error
    assert database.read_bytes() == damaged
    subprocess.run([*operate, "restore", *where], env=ENVIRONMENT, check=True)
    with running_server(tmp_path) as server, talker(server.port) as yoda:
        yoda.log_in("yoda", "wise")
        for number in range(2, 22):
            assert yoda.next() == wire.Delivery(number - 1, "hans", "pc-hans", number, TEXT)
            yoda.send(wire.Ack(number - 1))


# -- While it runs ---------------------------------------------------------------------------------


def test_a_disk_that_fills_up_loses_nothing_and_is_told_once(tmp_path: Path) -> None:
    kept: list[int] = []
    number = 1
    with running_server(tmp_path) as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")

        def tell() -> bool:
            """Send one; return whether the server has promised to keep it."""
            nonlocal number
            number += 1
            hans.send(wire.Message(number, "yoda", f"{number} {TEXT}"))
            reply = hans.next()
            if reply == wire.Ok(number):
                kept.append(number)
                return True
            code = ErrorCode.NOT_STORED
            assert reply == wire.Error(code, code.describe(), number)
            return False

        for size in (100_000, 200_000):
            limit_files(server.process.pid, size)
            while tell():
                pass
            assert not any(tell() for _ in range(10))
            hans.send(wire.WhoElse(number := number + 1))
            assert hans.next() == wire.Users(number, ()), "the chat goes on"
            limit_files(server.process.pid, resource.RLIM_INFINITY)
            assert all(tell() for _ in range(10)), "it recovers by itself"
        server.process.kill()
        server.process.wait()
        out, err = server.printed()
    assert out == ""
    assert [line[20:52] for line in err.splitlines()] == [
        *("the store fails, and what it can", "the store works again"),
        *("the store fails, and what it can", "the store works again"),
    ]
    assert "(disk I/O error); it may be full" in err
    assert len(kept) > 20
    with running_server(tmp_path) as server, talker(server.port) as yoda:
        yoda.log_in("yoda", "wise")
        shown: list[int] = []
        while len(shown) < len(kept):
            delivery = yoda.next()
            assert isinstance(delivery, wire.Delivery)
            shown.append(delivery.id)
            assert delivery.text == f"{delivery.id} {TEXT}"
            yoda.send(wire.Ack(delivery.seq))
        assert shown == kept


# -- The end -----------------------------------------------------------------------------------------


def test_a_client_that_does_not_read_does_not_delay_the_end(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")
        with socket.socket() as yoda:
            yoda.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            yoda.connect(("127.0.0.1", server.port))
            yoda.sendall(
                b'{"type":"hello","version":1,"client":"pc"}\n'
                b'{"type":"login","id":1,"user":"yoda","password":"wise"}\n'
            )
            assert isinstance(hans.next(), wire.Presence)
            texts = [f"{number} " + "x" * 3000 for number in range(2, 302)]
            hans.send(*(wire.Message(n, "yoda", text) for n, text in enumerate(texts, 2)))
            assert [hans.next() for _ in texts] == [wire.Ok(n) for n, _ in enumerate(texts, 2)]
            begun = time.monotonic()
            server.send_signal(signal.SIGTERM)
            assert isinstance(hans.next(), wire.Closed)
            hans.close()
            assert server.exit_code() == 0
            assert time.monotonic() - begun < limits.STOP_SECONDS_MAX + limits.CLOSE_SECONDS_MAX
        assert server.printed() == ("", "")
    with running_server(tmp_path) as server, talker(server.port) as again:
        again.log_in("yoda", "wise")
        for text in texts:
            delivery = again.next()
            assert isinstance(delivery, wire.Delivery)
            assert delivery.text == text
            again.send(wire.Ack(delivery.seq))


STUCK = """
import sys, threading
from trio_chat.server.cli import main
from trio_chat.storage.sqlite import SqliteStore
SqliteStore._commit = lambda self, commit: threading.Event().wait()
sys.exit(main())
"""


def test_a_disk_that_does_not_answer_does_not_keep_the_server_from_ending(tmp_path: Path) -> None:
    with running_server(tmp_path, program=("-c", STUCK)) as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")
        hans.send(wire.Message(2, "yoda", "hello"), wire.WhoElse(3))
        assert hans.next() == wire.Users(3, ())
        begun = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert isinstance(hans.next(), wire.Closed)
        assert hans.next() is None, "no acknowledgement"
        hans.close()
        assert server.exit_code() == 1
        seconds = time.monotonic() - begun
        assert seconds < limits.STOP_SECONDS_MAX + limits.CLOSE_SECONDS_MAX + 3
        out, err = server.printed()
    assert out == ""
    assert err[19:] == " the disk does not answer; ended without waiting for it any longer\n"


def test_a_data_directory_that_is_moved_away_loses_nothing_and_may_come_back(
    tmp_path: Path,
) -> None:
    with running_server(tmp_path) as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")
        hans.send(wire.Message(2, "yoda", "before"))
        assert hans.next() == wire.Ok(2)
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        for number in (3, 4):
            hans.send(wire.Message(number, "yoda", "meanwhile"))
            refusal = hans.next()
            assert isinstance(refusal, wire.Error) and refusal.code is ErrorCode.NOT_STORED
        (tmp_path / "elsewhere").rename(tmp_path / "data")
        hans.send(wire.Message(5, "yoda", "after"))
        assert hans.next() == wire.Ok(5)
        stop(server)
        failing, working = server.printed()[1].splitlines()
        assert failing[20:] == (
            f"the store fails, and what it can't keep is refused: {tmp_path / 'data'} was deleted"
            " or moved away; put it back, or stop the server and restore a backup"
        )
        assert working[20:] == "the store works again"
    with running_server(tmp_path) as server, talker(server.port) as yoda:
        yoda.log_in("yoda", "wise")
        for number, text in ((2, "before"), (5, "after")):
            delivery = yoda.next()
            assert isinstance(delivery, wire.Delivery)
            assert (delivery.id, delivery.text) == (number, text)
            yoda.send(wire.Ack(delivery.seq))


def test_a_directory_that_is_open_to_others_is_told_and_the_files_in_it_are_not(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    before = os.umask(0o022)
    try:
        with running_server(tmp_path) as server:
            for file in data.iterdir():
                assert file.stat().st_mode & 0o077 == 0, file
            stop(server)
    finally:
        os.umask(before)
    assert server.printed()[1][20:] == (
        f"other users of this machine can look into {data} (its mode is 0755); close it with"
        f" 'chmod 700 {data}'\n"
    )
