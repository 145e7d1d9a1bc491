"""The program: arguments in, exit status out. See ``--help``.

Exit status: 2 for arguments that it can't work with, 1 if there is no server; the rest is
told in `app`. What goes wrong before anybody is logged in is one line on stderr.
"""

from __future__ import annotations

import argparse
import os
import re
import ssl
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import NoReturn

import platformdirs
import trio

from .. import __version__, limits
from ..errors import FailureError, UsageError
from ..net import tls
from . import app, render, security
from .files.transfers import FileOptions
from .known_hosts import FILE_NAME, KnownHosts
from .plain import open_plain
from .terminal import Terminal

STDIN, STDOUT, STDERR = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client; return its exit status."""
    _reserve_standard_files()
    status = 130
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
    except* KeyboardInterrupt:  # before `app` watches for signals; perhaps out of a nursery
        pass
    _drop_unwritten_output()
    return status


def _run(argv: Sequence[str]) -> int:
    try:
        options = _parser().parse_args(argv)
        host = _parse_host(options.server_ip)
        port = _parse_port(options.port)
        state_dir = options.state_dir or platformdirs.user_state_path("trio-chat") / "client"
        encrypt = _parse_security(options, state_dir)
        file_options = FileOptions(
            options.download_dir,
            _parse_rate(options.upload_limit, "--upload-limit"),
            _parse_rate(options.download_limit, "--download-limit"),
        )
        reconnect_seconds = _parse_reconnect(options.reconnect)
        peer_port = (
            0 if options.peer_port is None else _parse_port(options.peer_port, "--peer-port")
        )
        peer_host = (
            None if options.peer_host is None else _parse_host(options.peer_host, "--peer-host")
        )
    except UsageError as error:
        _complain(str(error))
        return 2
    try:
        return trio.run(
            app.run,
            host,
            port,
            _open_terminal,
            state_dir,
            encrypt,
            peer_port,
            peer_host,
            file_options,
            reconnect_seconds,
        )
    except FailureError as error:
        _complain(str(error))
        return 1


# -- Arguments -----------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """One that explains in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (try --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="trio-chat-client",
        description="Chat in this terminal. After login, 'help' lists the commands.",
        allow_abbrev=False,
    )
    parser.add_argument("server_ip", metavar="SERVER_IP", help="the server's address or name")
    parser.add_argument("port", metavar="PORT", help="the port on which it listens")
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        type=Path,
        help="where to remember which servers were met, and which messages were shown",
    )
    parser.add_argument(
        "--download-dir",
        metavar="DIR",
        type=Path,
        default=platformdirs.user_downloads_path(),
        help="where downloaded files go (default: %(default)s)",
    )
    for direction in ("upload", "download"):
        parser.add_argument(
            f"--{direction}-limit",
            metavar="RATE",
            help=f"{direction} files with at most so many bytes per second, such as 500K or 20M"
            " (default: no limit)",
        )
    parser.add_argument(
        "--peer-host",
        metavar="ADDR",
        help="where other clients may connect for private messages (default: all addresses of"
        " this machine)",
    )
    parser.add_argument(
        "--peer-port", metavar="PORT", help="the port for that (default: the system picks one)"
    )
    parser.add_argument(
        "--reconnect",
        metavar="SECONDS",
        help="how long to try to reach a server that is lost; 0 not to try"
        f" (default: {limits.RECONNECT_SECONDS:.0f} on a terminal, otherwise 0)",
    )
    security = parser.add_mutually_exclusive_group()
    security.add_argument(
        "--ca",
        metavar="FILE",
        type=Path,
        help="accept a server for whose name these authorities (PEM) vouch, instead of knowing"
        " it by its fingerprint",
    )
    security.add_argument(
        "--plaintext",
        action="store_true",
        help="do not encrypt; servers accept this from their own machine only, unless told",
    )
    parser.add_argument("--version", action="version", version=f"trio-chat {__version__}")
    return parser


def _parse_host(text: str, name: str = "SERVER_IP") -> str:
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not host or "\0" in host:
        raise UsageError(f"{name} must be an address or a host name")
    return host


def _parse_port(text: str, name: str = "PORT") -> int:
    # Its length first, as Python refuses to convert thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise UsageError(f"{name} must be a number from 1 to 65535, not '{text}'")
    return int(text)


def _parse_reconnect(text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        raise UsageError(f"--reconnect must be a number of seconds, such as 60, not '{text}'")
    return float(text)


def _parse_rate(text: str | None, name: str) -> float | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([KMG]?)", text.upper(), re.ASCII)
    rate = float(found[1]) * 1000 ** " KMG".index(found[2] or " ") if found else 0.0
    if rate < 1:
        raise UsageError(f"{name} must be bytes per second, such as 500K or 20M, not '{text}'")
    return rate


def _parse_security(options: argparse.Namespace, state_dir: Path) -> app.Encrypt:
    if options.plaintext:
        return security.clear_text
    if options.ca is None:
        return security.Fingerprints(KnownHosts(state_dir / FILE_NAME), _complain)
    try:
        return security.Authorities(tls.authority_context(options.ca))
    except OSError as error:  # what ssl raises is one too
        raise UsageError(f"cannot use {options.ca}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    return "it holds no certificate" if isinstance(error, ssl.SSLError) else str(error.strerror)


# -- Standard files ------------------------------------------------------------------------


def _open_terminal() -> AbstractAsyncContextManager[Terminal]:
    """What suits standard input and output."""
    if not os.isatty(STDIN):
        return open_plain(STDIN, STDOUT)
    if os.isatty(STDOUT) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", ""):
        from .console import open_console  # costs more time than all the rest

        return open_console()
    # A person types, but the output goes elsewhere, or to what can only print.
    return open_plain(STDIN, STDOUT, STDOUT if os.isatty(STDOUT) else STDERR)


def _reserve_standard_files() -> None:
    """If one was closed, let nothing that is opened later pass for it.

    The replacement is at its end for a reader, and can't be written to.
    """
    for file in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(file)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)


def _drop_unwritten_output() -> None:
    """Let the interpreter not complain at its exit that nobody reads the rest."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # such as the window that was closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def _complain(text: str) -> None:
    """The only place that writes past the terminal: one line, whatever was in the arguments."""
    with suppress(OSError):
        os.write(STDERR, f"{render.clean_line(text)}\n".encode(errors="replace"))
