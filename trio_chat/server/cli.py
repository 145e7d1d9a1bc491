"""The server's command line (assignment, section 3.6)."""

from __future__ import annotations

import argparse
import math
import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import platformdirs
import trio

from .. import __version__, limits
from ..core.broker import Settings
from ..errors import FailureError, UsageError
from ..net.tcp import TcpListener
from ..storage.sqlite import open_sqlite
from .app import serve
from .credentials import Credentials, read_credentials
from .log import log_to_stderr, write_line

EXIT_FAILURE = 1
EXIT_USAGE = 2


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; try {self.prog} --help")


def _port(text: str) -> int:
    # Cut, as Python refuses to convert thousands of digits.
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line.

    Raises:
        UsageError: if something is wrong with it.
    """
    parser = _Parser(
        prog="trio-chat-server",
        description="The server of trio-chat, an instant messenger for terminals.",
        allow_abbrev=False,
    )
    parser.add_argument("port", metavar="PORT", type=_port, help="TCP port to listen on")
    parser.add_argument(
        "block_duration",
        metavar="BLOCK_DURATION",
        type=_seconds,
        help="seconds for which three wrong passwords in a row block a user name",
    )
    parser.add_argument(
        "timeout",
        metavar="TIMEOUT",
        type=_seconds,
        help="seconds without activity after which a user is logged out",
    )
    parser.add_argument(
        "--credentials",
        metavar="FILE",
        type=Path,
        default=Path("credentials.txt"),
        help="'user password' lines (default: credentials.txt in the current directory)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help="where mailboxes and blocks are kept (default: one for each port, below"
        f" {platformdirs.user_data_path('trio-chat', appauthor=False)})",
    )
    parser.add_argument(
        "--host",
        metavar="ADDR",
        help="listen on this address only (default: all addresses of this machine)",
    )
    parser.add_argument(
        "-d", "--debug", action="store_true", help="tell on standard error what happens"
    )
    parser.add_argument("--version", action="version", version=f"trio-chat {__version__}")
    return parser.parse_args(arguments)


async def _stop_on_signal(stop: trio.Event) -> NoReturn:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            if stop.is_set():
                os._exit(128 + number)  # the second one: the user has no patience left
            stop.set()
    raise AssertionError("signals never end")


async def _run(arguments: argparse.Namespace, credentials: Credentials) -> None:
    data_dir = arguments.data_dir or (
        platformdirs.user_data_path("trio-chat", appauthor=False) / f"server-{arguments.port}"
    )
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, stop)
        store = await open_sqlite(data_dir / "chat.db")
        try:
            await serve(
                TcpListener(arguments.port, arguments.host),
                store,
                credentials,
                Settings(arguments.block_duration, arguments.timeout),
                stop=stop,
                log=log_to_stderr if arguments.debug else None,
            )
        finally:
            await store.close()
        nursery.cancel_scope.cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; return its exit code: 0, 1 for a failure, 2 for bad input."""
    try:
        parsed = parse_arguments(arguments)
        credentials = read_credentials(parsed.credentials)
    except UsageError as error:
        return _fail(str(error), EXIT_USAGE)
    code = 0
    _allow_connections()
    try:
        trio.run(_run, parsed, credentials)
    except* FailureError as failures:
        code = _fail(_first_of(failures), EXIT_FAILURE)
    except* KeyboardInterrupt:
        code = 128 + signal.SIGINT
    return code


def _allow_connections() -> None:
    """Use as many open files as this process may have; the usual start is far below that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.CONNECTIONS_MAX + 100
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _first_of(group: BaseException) -> str:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return str(group)


def _fail(text: str, code: int) -> int:
    one_line = " ".join(text.splitlines())  # whatever was in the arguments
    write_line(f"trio-chat-server: {one_line}")
    return code
