"""``make run`` and ``make stop``: one server in the background, whoever comes joins it."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.program import free_port, run_module, write_credentials
from trio_chat import quickstart as quickstart_module

Quickstart = Callable[..., subprocess.CompletedProcess[str]]

CHAT = "yoda\nwise\nwhoelse\n"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def quickstart(tmp_path: Path, port: int) -> Iterator[Quickstart]:
    """Runs a command of the program in a home of its own, where no server is left behind."""
    write_credentials(tmp_path)
    home = {
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        # The server outlives its starter on purpose.
        "PYTHONWARNINGS": "error,ignore::ResourceWarning",
    }

    def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return run_module("trio_chat", *arguments, directory=tmp_path, text=text, **home)

    yield run
    for pid_file in tmp_path.rglob("*.pid"):
        # `stop` asks nobody who does not hold the lock, so no stranger's process is met.
        if run("stop", str(port)).returncode != 0:
            os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_the_first_starts_a_server_the_second_joins_it_and_stop_ends_it(
    quickstart: Quickstart, port: int, tmp_path: Path
) -> None:
    first = quickstart("run", str(port), "60", "600", text=CHAT)
    assert first.returncode == 0
    [line] = first.stderr.splitlines()
    assert line.startswith(f"First connection to 127.0.0.1:{port}, whose fingerprint is SHA256:")
    assert f"Started a server on port {port}; 'make stop PORT={port}' ends it." in first.stdout
    assert "Welcome to the greatest messaging application ever!" in first.stdout
    second = quickstart("run", str(port), "60", "600", text=CHAT)
    assert (second.returncode, second.stderr) == (0, "")
    assert f"Joining the server on port {port}." in second.stdout
    assert "Welcome to the greatest messaging application ever!" in second.stdout
    stopped = quickstart("stop", str(port))
    assert (stopped.returncode, stopped.stdout) == (0, f"Stopped the server on port {port}.\n")
    again = quickstart("stop", str(port))
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == f"No server that 'make run' has started runs on port {port}.\n"
    assert list(tmp_path.rglob("*.pid")) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"\xff\n"])
def test_a_port_that_something_else_uses_is_one_line_and_exit_code_2(
    quickstart: Quickstart, greeting: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def greet() -> None:
            stranger, _ = sock.accept()
            stranger.sendall(greeting)
            stranger.close()

        other = threading.Thread(target=greet)
        other.start()
        port = sock.getsockname()[1]
        done = quickstart("run", str(port), "60", "600", text=CHAT)
        other.join()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"port {port} is in use by some other program; try another: make run PORT=4001\n"
    )


def test_what_the_server_says_is_shown_if_it_does_not_start(
    quickstart: Quickstart, port: int, tmp_path: Path
) -> None:
    (tmp_path / "credentials.txt").write_text("hans\n")
    done = quickstart("run", str(port), "60", "600", text=CHAT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "trio-chat-server: credentials.txt, line 1: expected a user name, a blank and a password\n"
    )
    assert quickstart("stop", str(port)).stdout.startswith("No server")
    assert list(tmp_path.rglob("*.pid")) == []
    assert not (tmp_path / "data").exists()


def test_a_stop_where_no_server_was_leaves_nothing_behind(
    quickstart: Quickstart, port: int, tmp_path: Path
) -> None:
    assert quickstart("stop", str(port)).stdout.startswith("No server")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(("text", "code"), [("yoda\nweird\n", 0), (CHAT, 0), (None, 2)])
def test_make_fails_only_if_there_is_no_chat(
    quickstart: Quickstart, port: int, tmp_path: Path, text: str | None, code: int
) -> None:
    """How the rule of the Makefile judges what the program ends with."""
    if text is None:
        (tmp_path / "credentials.txt").unlink()
    done = quickstart("run", str(port), "60", "600", text=text or "")
    rule = f"sh -c 'exit {done.returncode}' || test $? -ne 2"
    assert "|| test $$? -ne 2" in (Path(__file__).parents[1] / "Makefile").read_text()
    assert (subprocess.run(["/bin/sh", "-c", rule], check=False).returncode == 0) is (code == 0), (
        done.stderr
    )


def test_stop_waits_for_a_server_that_is_just_being_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    directory = tmp_path / "trio-chat"
    directory.mkdir()
    with (directory / "quickstart-4000.pid").open("w") as pid_file:
        fcntl.flock(pid_file, fcntl.LOCK_EX)
        # The starter gives up while `stop` waits for the id to appear.
        monkeypatch.setattr(time, "sleep", lambda seconds: fcntl.flock(pid_file, fcntl.LOCK_UN))
        quickstart_module.stop(argparse.Namespace(port=4000))
    assert capsys.readouterr().out.startswith("No server")
