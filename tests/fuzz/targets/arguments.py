"""Arguments of both programs: they make sense, or are refused in one line; never a traceback."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from unittest.mock import patch

from tests.fuzz.reader import Reader
from trio_chat.client import cli
from trio_chat.errors import UsageError
from trio_chat.server.options import parse_arguments

COMMANDS = ("fingerprint", "passwd", "backup", "restore", "status")
WORDS = (
    *("127.0.0.1", "::1", "[::1]", "4000", "60", "600", "0", "-1", "1e3", "nan", "0" * 9, "9" * 9),
    *("--state-dir", "--download-dir", "--upload-limit", "--download-limit", "--peer-host"),
    *("--peer-port", "--ca", "--plaintext", "--version", "--help", "--credentials", "--data-dir"),
    *(
        "--cert",
        "--key",
        "--host",
        "--reconnect",
        "--rate",
        "--logins-per-minute",
        "--connections-per-address",
    ),
    *COMMANDS,
    *("--remove", "--hash-all", "-d", "--", "=", "never", "500K", "%s"),
)
BEGINNINGS: tuple[tuple[str, ...], ...] = (
    ("127.0.0.1", "4000"),
    ("4000", "60", "600"),
    *((command,) for command in COMMANDS),
    (),
)


def one_input(data: bytes) -> None:
    reader = Reader(data)
    run = reader.pick((_run_client, _run_server))
    words = list(reader.pick(BEGINNINGS))
    for _ in range(reader.below(8)):
        word = "".join(reader.pick((*WORDS, "")) for _ in range(reader.below(3) + 1))
        # As the system hands them over: without zeros, and maybe not UTF-8.
        word += os.fsdecode(reader.take(reader.below(16)).replace(b"\0", b""))
        words.append(word)
    with redirect_stdout(io.StringIO()):
        try:
            run(words)
        except SystemExit as error:
            assert error.code == 0, "as after --help and --version"


def _run_client(words: list[str]) -> None:
    complaints: list[str] = []
    calls: list[tuple[object, ...]] = []

    def run(*arguments: object) -> int:
        calls.append(arguments)
        return 0

    with patch.object(cli, "_complain", complaints.append), patch("trio.run", run):
        status = cli._run(words)
    if status == 0:
        [(_, host, port, _, _, _, peer_port, _, options, reconnect_seconds)] = calls
        assert host and isinstance(port, int) and 1 <= port <= 65535, port
        assert isinstance(peer_port, int) and 0 <= peer_port <= 65535, peer_port
        assert options is not None
        assert reconnect_seconds is None or 0 <= float(str(reconnect_seconds)) < float("inf")
    else:
        assert status == 2 and complaints and not calls


def _run_server(words: list[str]) -> None:
    try:
        options = parse_arguments(words)
    except UsageError as error:
        assert str(error)
        return
    match options.command:
        case "serve":
            assert 1 <= options.port <= 65535, options.port
            assert 0 < options.block_duration < float("inf")
            assert 0 < options.timeout < float("inf")
        case "fingerprint" | "backup" | "restore" | "status":
            assert options.port is None or 1 <= options.port <= 65535, options.port
        case command:
            assert command in COMMANDS
