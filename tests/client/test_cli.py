from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from trio_chat import __version__
from trio_chat.client import app, cli, security
from trio_chat.client.files.transfers import FileOptions


def _one_line(capfd: pytest.CaptureFixture[str]) -> str:
    """What stands on stderr, which must be one line, with nothing on stdout."""
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.rstrip("\n")


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        ([], "the following arguments are required: SERVER_IP, PORT (try --help)"),
        (["127.0.0.1"], "the following arguments are required: PORT (try --help)"),
        (["127.0.0.1", "4000", "x"], "unrecognized arguments: x (try --help)"),
        (["127.0.0.1", "4000", "--state"], "unrecognized arguments: --state (try --help)"),
        (["127.0.0.1", "4000", "a\nb"], "unrecognized arguments: a b (try --help)"),
        (
            ["127.0.0.1", "4000", "--ca", "/no/such/file"],
            "cannot use /no/such/file: No such file or directory",
        ),
        (
            ["127.0.0.1", "4000", "--ca", os.devnull],
            f"cannot use {os.devnull}: it holds no certificate",
        ),
        (
            ["127.0.0.1", "4000", "--ca", "x", "--plaintext"],
            "argument --plaintext: not allowed with argument --ca (try --help)",
        ),
        (["", "4000"], "SERVER_IP must be an address or a host name"),
        (["[]", "4000"], "SERVER_IP must be an address or a host name"),
        (
            ["127.0.0.1", "4000", "--peer-port", "0"],
            "--peer-port must be a number from 1 to 65535, not '0'",
        ),
        (
            ["127.0.0.1", "4000", "--peer-host", ""],
            "--peer-host must be an address or a host name",
        ),
        *(
            (
                ["127.0.0.1", "4000", option, rate],
                f"{option} must be bytes per second, such as 500K or 20M, not '{rate}'",
            )
            for option in ("--upload-limit", "--download-limit")
            for rate in ("0", "0.5", "", "x", "1T", "1MB", "1e9", "\u0661", "nan", "9" * 5000)
        ),
        *(
            (
                ["127.0.0.1", "4000", f"--reconnect={seconds}"],
                f"--reconnect must be a number of seconds, such as 60, not '{seconds}'",
            )
            for seconds in ("", "x", "-1", "1e9", "inf", "\u0661", "9" * 5000)
        ),
        *(
            (["127.0.0.1", port], f"PORT must be a number from 1 to 65535, not '{port}'")
            for port in ("0", "65536", "x", "", "4e3", "\u00b2", "9" * 5000, "00000180000000")
        ),
    ],
)
def test_bad_arguments(argv: list[str], error: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 2
    assert _one_line(capfd) == error


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capfd.readouterr().out == f"trio-chat {__version__}\n"


def test_help_explains_the_options(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    help = " ".join(capfd.readouterr().out.split())
    assert "--download-dir DIR where downloaded files go" in help
    assert "--upload-limit RATE upload files with at most so many bytes per second" in help


@pytest.mark.parametrize(
    ("text", "host"), [("[::1]", "::1"), ("::1", "::1"), ("localhost", "localhost")]
)
def test_hosts(text: str, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(*arguments: object) -> int:
        assert arguments[:2] == (host, 4000)
        assert arguments[3] == tmp_path
        return 7

    monkeypatch.setattr(app, "run", run)
    assert cli.main([text, "4000", "--state-dir", str(tmp_path)]) == 7


@pytest.mark.parametrize(
    ("argv", "port", "host"),
    [([], 0, None), (["--peer-port", "5000", "--peer-host", "[::1]"], 5000, "::1")],
)
def test_where_other_clients_connect(
    argv: list[str], port: int, host: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*arguments: object) -> int:
        assert arguments[5:7] == (port, host)
        return 7

    monkeypatch.setattr(app, "run", run)
    assert cli.main(["127.0.0.1", "4000", *argv]) == 7


@pytest.mark.parametrize(
    ("text", "rate"),
    [("500", 500.0), ("500K", 500_000.0), ("1.5m", 1_500_000.0), ("2G", 2_000_000_000.0)],
)
def test_limits_of_transfers(text: str, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(*arguments: object) -> int:
        options = arguments[7]
        assert isinstance(options, FileOptions)
        assert (options.upload_rate, options.download_rate) == (rate, None)
        assert options.directory == Path("downloads")
        return 7

    monkeypatch.setattr(app, "run", run)
    argv = ["127.0.0.1", "4000", "--upload-limit", text, "--download-dir", "downloads"]
    assert cli.main(argv) == 7


@pytest.mark.parametrize(
    ("argv", "seconds"),
    [([], None), (["--reconnect", "0"], 0.0), (["--reconnect", "2.5"], 2.5)],
)
def test_how_long_to_try_to_reach_a_lost_server(
    argv: list[str], seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*arguments: object) -> int:
        assert arguments[8] == seconds
        return 7

    monkeypatch.setattr(app, "run", run)
    assert cli.main(["127.0.0.1", "4000", *argv]) == 7


@pytest.mark.parametrize(
    ("argv", "kind"),
    [([], security.Fingerprints), (["--plaintext"], type(security.clear_text))],
)
def test_encryption_is_the_default(
    argv: list[str], kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*arguments: object) -> int:
        assert isinstance(arguments[4], kind)
        return 0

    monkeypatch.setattr(app, "run", run)
    assert cli.main(["127.0.0.1", "4000", "--state-dir", str(tmp_path), *argv]) == 0


def test_interrupts_are_quiet(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def run(*_: object) -> int:
        async with trio.open_nursery():
            raise KeyboardInterrupt

    monkeypatch.setattr(app, "run", run)
    assert cli.main(["127.0.0.1", "4000"]) == 130
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port of which nobody else can make use meanwhile, and on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_no_server(unused_port: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["127.0.0.1", str(unused_port)]) == 1
    assert _one_line(capfd) == f"Cannot reach the server at 127.0.0.1:{unused_port}. Is it running?"


@pytest.mark.parametrize("host", ["a" * 300, "caf\udce9", "a..b", "no host"])
def test_no_such_host(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main([host, "4000"]) == 1
    assert _one_line(capfd).startswith("Unknown host: ")


# -- The program, with unusual standard files ------------------------------------------------


def _program(*arguments: str, shell: str = "") -> subprocess.CompletedProcess[bytes]:
    command = f'exec "$@" {shell}'
    return subprocess.run(
        ["/bin/sh", "-c", command, "sh", sys.executable, "-m", "trio_chat.client", *arguments],
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


@pytest.mark.parametrize("shell", ["", "<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_standard_files_make_no_traceback(unused_port: int, shell: str) -> None:
    done = _program("127.0.0.1", str(unused_port), shell=shell)
    assert done.returncode == 1
    assert done.stdout == b""
    assert (done.stderr == b"") is ("2>&-" in shell)
    assert b"Traceback" not in done.stderr
