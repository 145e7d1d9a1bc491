"""The server's command line: what it prints, its exit codes, and signals (section 3.6)."""

from __future__ import annotations

import io
import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from trio_chat import __version__
from trio_chat.core.beginning import Settings
from trio_chat.errors import ErrorCode
from trio_chat.net.identity import load_or_make
from trio_chat.net.tcp import TcpListener
from trio_chat.protocol import messages as wire
from trio_chat.server import cli
from trio_chat.server.credentials import read_credentials
from trio_chat.storage.lock import locked

from .program import free_port, run_module, running_server, talker, wait_until, write_credentials


def complaint(arguments: list[str], code: int, capfd: pytest.CaptureFixture[str]) -> str:
    """Run the server with these; the one line on standard error with which it fails."""
    assert cli.main(arguments) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("trio-chat-server: ")
    return err.removeprefix("trio-chat-server: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "required: PORT, BLOCK_DURATION, TIMEOUT"),
        (["4000"], "required: BLOCK_DURATION, TIMEOUT"),
        (["4000", "60"], "required: TIMEOUT"),
        (["4000", "60", "600", "more"], "unrecognized arguments: more"),
        (["4000", "60", "600", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["4000", "60", "600", "--cred", "x"], "unrecognized arguments: --cred x"),
        (["4000", "60", "600", "a\nb"], "unrecognized arguments: a b"),
        (["4000", "60", "600", "--credentials"], "--credentials: expected one argument"),
        *(
            ([port, "60", "600"], f"argument PORT: {port!r} is not a port")
            for port in ("0", "65536", "-1", "x", "", "4e3", "40.0", " 4000", "²", "٤", "9" * 5000)
        ),
        *(
            (["4000", seconds, "600"], "argument BLOCK_DURATION: ")
            for seconds in ("0", "-5", "x", "", "nan", "inf", "1e999")
        ),
        *(
            ([*before, "\udcff", *after], "'\\udcff' is not a name in UTF-8")
            for before, after in (
                (["4000", "60", "600", "--data-dir"], []),
                (["fingerprint", "--data-dir"], []),
                (["status", "--data-dir"], []),
                (["restore", "--data-dir"], ["saved"]),
                (["backup", "4000"], []),
            )
        ),
        (["4000", "60", "0"], "argument TIMEOUT: '0' is not a number of seconds above 0"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    arguments: list[str], error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert error in complaint(arguments, 2, capfd)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "there is no credentials file"),
        ("hans solo\nyoda\n", "line 2: expected"),
        ("", "no users"),
    ],
)
def test_credentials_that_cannot_be_used_are_one_line_and_exit_code_2(
    tmp_path: Path, content: str | None, error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new\nline"
    if content is not None:
        path.write_text(content)
    assert error in complaint(["4000", "60", "600", "--credentials", str(path)], 2, capfd)


def start(directory: Path, port: int, *options: str) -> list[str]:
    credentials = str(write_credentials(directory))
    data_dir = str(directory / "data")
    return [
        *(str(port), "60", "600", "--credentials", credentials),
        *("--data-dir", data_dir, "--host", "127.0.0.1", *options),
    ]


def test_a_port_in_use_is_one_line_and_exit_code_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is in use" in complaint(start(tmp_path, port), 1, capfd)


def test_a_server_that_finds_its_data_in_use_makes_no_key(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path / "data"):
        error = complaint(start(tmp_path, free_port()), 1, capfd)
    assert error.startswith(f"{tmp_path / 'data'} is in use by another server; ")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    "host", ["no such host", "192.0.2.1", "x" * 70], ids=["unknown", "elsewhere", "no name"]
)
def test_a_host_that_is_not_here_is_one_line_and_exit_code_1(
    tmp_path: Path, host: str, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = start(tmp_path, free_port(), "--host", host)
    assert "cannot listen on port" in complaint(arguments, 1, capfd)


def test_the_limits_are_those_of_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[TcpListener, Settings, int]] = []

    async def serve(
        listener: TcpListener, _store: object, _accounts: object, settings: Settings, **others: Any
    ) -> None:
        served.append((listener, settings, others["requests_per_second"]))

    monkeypatch.setattr(cli, "serve", serve)
    limits = ("--connections-per-address", "5", "--logins-per-minute", "6", "--rate", "7")
    assert cli.main(start(tmp_path, free_port(), *limits)) == 0
    [(listener, settings, requests_per_second)] = served
    assert (settings, requests_per_second) == (Settings(60, 600, logins_per_minute=6), 7)
    assert listener._crowd._each_max == 5
    assert b'"code":"too_many_connections"' in listener._crowd._refusal


def test_a_data_directory_that_cannot_be_used_is_one_line_and_exit_code_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    arguments = start(tmp_path, free_port(), "--data-dir", str(tmp_path / "file" / "data"))
    assert "cannot use" in complaint(arguments, 1, capfd)
    (tmp_path / "data").mkdir(0o700)
    (tmp_path / "data" / "certificate.new").mkdir()
    error = complaint(start(tmp_path, free_port()), 1, capfd)
    assert error == f"cannot write to {tmp_path / 'data'}: Is a directory"
    (tmp_path / "data" / "chat.db").write_text("no database at all " * 100)
    assert "cannot use" in complaint(start(tmp_path, free_port()), 1, capfd)


@pytest.mark.parametrize(
    ("option", "text"), [("--help", "BLOCK_DURATION"), ("--version", f"trio-chat {__version__}\n")]
)
def test_help_and_version_are_printed(
    option: str, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([option])
    assert caught.value.code == 0
    out, err = capfd.readouterr()
    assert text in out
    assert err == ""


@pytest.fixture
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "trio-chat"


def test_the_fingerprint_is_printed_and_nothing_else(
    data_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    identity = load_or_make(data_home / "server-4000", "a server")
    for arguments in (["4000"], ["--data-dir", str(data_home / "server-4000")]):
        assert cli.main(["fingerprint", *arguments]) == 0
        assert capfd.readouterr() == (f"{identity.fingerprint}\n", "")


def test_a_fingerprint_that_cannot_be_read_is_one_line(
    capfd: pytest.CaptureFixture[str],
) -> None:
    error = complaint(["fingerprint", "--data-dir", "x" * 300], 1, capfd)
    assert error == f"cannot read {'x' * 300}/certificate.pem: File name too long"


def test_asking_for_a_fingerprint_makes_no_identity(
    data_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["4000"], ["--data-dir", str(data_home / "server-4000")]):
        error = complaint(["fingerprint", *arguments], 1, capfd)
        assert error.startswith(f"there is no {data_home / 'server-4000' / 'certificate.pem'};")
    assert not data_home.exists()


def test_passwd_adds_and_removes_a_user_and_hashes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_credentials(tmp_path)
    where = ["--credentials", str(path)]
    monkeypatch.setattr("sys.stdin", io.StringIO("skywalker\n"))
    for arguments, line in (
        (["luke"], f"Added luke in {path}."),
        (["--remove", "yoda"], f"Removed yoda from {path}."),
        (["--hash-all"], f"Hashed 1 password in {path}."),
    ):
        assert cli.main(["passwd", *arguments, *where]) == 0
        out, err = capfd.readouterr()
        assert (out.splitlines()[0], err) == (line, "")
    credentials = read_credentials(path)
    assert credentials.users == {"hans", "luke"}
    assert credentials.check("hans", "solo")
    assert credentials.check("luke", "skywalker")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--remove", "luke"], "has no user luke"),
        (["--remove", ""], "has no user "),
        (["lu ke"], "a user name has no blanks or control characters"),
        ([""], "a user name has no blanks or control characters"),
        (["luke"], "a password has at least one character, and no blanks"),
    ],
)
def test_passwd_answers_bad_input_with_one_line_and_exit_code_2(
    tmp_path: Path,
    arguments: list[str],
    error: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_credentials(tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert error in complaint(["passwd", *arguments, "--credentials", str(path)], 2, capfd)
    assert path.read_bytes() == before


def test_passwd_names_a_file_that_it_cannot_use_with_exit_code_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("skywalker\n"))
    missing = str(tmp_path / "missing" / "accounts")
    assert f"cannot write {missing}: No such file" in complaint(
        ["passwd", "luke", "--credentials", missing], 1, capfd
    )
    assert f"cannot read {tmp_path}: Is a directory" in complaint(
        ["passwd", "--hash-all", "--credentials", str(tmp_path)], 1, capfd
    )


# -- The real program ------------------------------------------------------------------------------


def test_the_program_fails_without_a_traceback(tmp_path: Path) -> None:
    done = run_module("trio_chat.server", "4000", "60", "600", directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "trio-chat-server: there is no credentials file credentials.txt;"
        " this makes one with a first user: trio-chat-server passwd USER\n"
    )
    elsewhere = ("--credentials", "my users")
    done = run_module("trio_chat.server", "4000", "60", "600", *elsewhere, directory=tmp_path)
    assert done.stderr.endswith("trio-chat-server passwd USER --credentials 'my users'\n")


def test_a_first_start_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    write_credentials(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ("--data-dir", str(tmp_path / "data"), "--host", "127.0.0.1")
        done = run_module("trio_chat.server", str(port), "60", "600", *options, directory=tmp_path)
    assert done.returncode == 1
    assert "is in use" in done.stderr
    bad = ("--cert", "nowhere", "--key", "nowhere", "--data-dir", str(tmp_path / "data"))
    done = run_module("trio_chat.server", str(free_port()), "60", "600", *bad, directory=tmp_path)
    assert done.returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["credentials.txt"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_debug_nothing_is_printed_and_a_signal_is_told_to_clients(
    tmp_path: Path, number: signal.Signals
) -> None:
    with running_server(tmp_path) as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")
        hans.send(wire.Message(2, "yoda", "kept"))
        assert hans.next() == wire.Ok(2)
        server.send_signal(number)
        assert hans.next() == wire.Closed(ErrorCode.STOPPING, "The server is shutting down")
        assert hans.next() is None
        hans.close()
        assert server.exit_code() == 0
        assert server.printed() == ("", "")
    with running_server(tmp_path) as server, talker(server.port) as yoda:
        yoda.log_in("yoda", "wise")
        assert yoda.next() == wire.Delivery(1, "hans", "pc-hans", 2, "kept")


def test_with_debug_readable_lines_are_printed_that_hold_no_secrets(tmp_path: Path) -> None:
    with running_server(tmp_path, "-d") as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")
        hans.send(wire.Message(2, "yoda", "a private\nword"))
        assert hans.next() == wire.Ok(2)
        hans.send(wire.Login(3, "yoda", "guessed-password"))
        assert isinstance(hans.next(), wire.Error)
        assert hans.next() is None
        hans.close()
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        out, err = server.printed()
    assert out == ""
    assert all(line[:2] == "20" and line[19] == " " for line in err.splitlines())
    for expected in (f"listening on 127.0.0.1:{server.port}", "hans > message", "stopped"):
        assert expected in err
    for secret in ("solo", "private", "word=g", "guessed"):
        assert secret not in err


def test_the_log_for_programs_is_an_object_a_line_that_holds_no_secrets(tmp_path: Path) -> None:
    options = ("-d", "--log-format", "json")
    with running_server(tmp_path, *options) as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")
        hans.send(wire.Message(2, "yoda", "a private\nword"))
        assert hans.next() == wire.Ok(2)
        hans.close()
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        out, err = server.printed()
    records = [json.loads(line) for line in err.splitlines()]
    assert out == ""
    assert all({"ts", "event", "fields"} <= record.keys() for record in records)
    [message] = [record for record in records if record["event"] == "message"]
    assert (message["direction"], message["user"]) == ("in", "hans")
    assert message["fields"] == {"id": 2, "to": "yoda", "text": "(14 characters)"}
    connected = next(record for record in records if record["event"] == "connected")
    assert connected["fields"]["peer"].startswith("127.0.0.1")
    [stopped] = [record for record in records if record["event"] == "stopped"]
    assert stopped["fields"] == {"everything_saved": True}
    for secret in ("solo", "private"):
        assert secret not in err


def test_a_second_signal_ends_the_program_at_once(tmp_path: Path) -> None:
    # The client stays, so that a graceful end would take seconds.
    with running_server(tmp_path, "-d") as server, talker(server.port) as hans:
        hans.log_in("hans", "solo")
        server.send_signal(signal.SIGINT)
        assert isinstance(hans.next(), wire.Closed)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        server.send_signal(signal.SIGINT)
        assert server.exit_code() == 128 + signal.SIGINT
        assert "stopped" not in server.printed()[1]


def test_a_second_server_on_the_same_data_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with running_server(tmp_path) as server:
        arguments = start(tmp_path, free_port())
        assert "is in use by another server" in complaint(arguments, 1, capfd)
        wait_until(server.answers)
