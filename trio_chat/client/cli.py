"""The program: arguments in, exit status out. See ``--help``.

Exit status: 2 for arguments that it can't work with, 1 if there is no server, 3 if a command of a
script was refused, or its login for a reason that has no status of its own; `ending` tells the
rest. What goes wrong before anybody is logged in is one line on stderr, or with ``--json`` one
object on stdout.
"""

from __future__ import annotations

import argparse
import os
import re
import ssl
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import platformdirs
import trio

from .. import __version__, limits
from ..errors import FailureError, UsageError
from ..net import tcp, tls
from ..text import clean_line, trim
from ..tty import Tty
from . import app, grammar, security, terminals
from .console.alerts import Level
from .files.transfers import FileOptions
from .known_hosts import FILE_NAME, KnownHosts
from .notice import json_of
from .prepared import Answers
from .render import failure
from .state import history_path, prepare
from .terminals import STDERR, STDIN, STDOUT

PASSWORD_VARIABLE = "TRIO_CHAT_PASSWORD"  # noqa: S105  # the name of one


def main(argv: Sequence[str] | None = None, tty: Tty | None = None) -> int:
    """Run the client; return its exit status.

    Args:
        argv: the arguments; those of the process unless given.
        tty: the terminal of standard input, if somebody guards it already.
    """
    _reserve_standard_files()
    status = 130
    try:
        status = _run(sys.argv[1:] if argv is None else argv, tty)
    except* KeyboardInterrupt:  # before `app` watches for signals; perhaps out of a nursery
        pass
    _drop_unwritten_output()
    return status


def _run(argv: Sequence[str], tty: Tty | None = None) -> int:
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
        style = terminals.Style(
            answers=_parse_answers(options),
            json=options.json,
            plain=options.plain,
            colour=terminals.Colour(options.color),
            timestamps=not options.no_timestamps,
            alerts=Level(options.notify),
            history=partial(history_path, state_dir, tcp.format_address(host, port)),
        )
    except UsageError as error:
        _complain(str(error))
        return 2
    warning = prepare(state_dir)
    if warning is not None:
        _complain(warning)
    opener = terminals.Opener(style, tty)
    try:
        status = trio.run(
            app.run,
            host,
            port,
            opener.open,
            state_dir,
            encrypt,
            peer_port,
            peer_host,
            file_options,
            reconnect_seconds,
        )
    except FailureError as error:
        if tty is not None and options.command is None:
            tty.drop_typed()  # or a shell would take it, and a password with it
        if options.json:
            _print(json_of([failure(str(error))]))
        else:
            _complain(str(error))
        return 1
    if opener.output_failure:
        _complain(f"cannot write to standard output: {opener.output_failure}")
    # A lost connection is worse than a refusal to who reads lines; with -c it always was 3.
    may_be_refused = (0,) if style.answers.commands is None else (0, 1)
    return 3 if opener.was_refused and status in may_be_refused else status


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
        help="where to remember servers that were met, messages that were shown, and what was typed"
        " (default: a directory of the user's)",
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
        help="where other clients may connect for private messages and files (default: all"
        " addresses of this machine)",
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
    _add_looks(parser)
    _add_login(parser)
    parser.add_argument("--version", action="version", version=f"trio-chat {__version__}")
    return parser


def _add_looks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--color",
        choices=[choice.value for choice in terminals.Colour],
        default=terminals.Colour.AUTO.value,
        help="auto means: on a terminal, unless NO_COLOR is set (default: auto)",
    )
    parser.add_argument(
        "--no-timestamps", action="store_true", help="show no times beside what others write"
    )
    parser.add_argument(
        "--notify",
        choices=[level.value for level in Level],
        default=Level.PRIVATE.value,
        help="ring, and tell the desktop, while the terminal has not the focus: never, when your"
        " name is said, for messages to you as well, or for all (default: %(default)s)",
    )
    looks = parser.add_mutually_exclusive_group()
    looks.add_argument(
        "--plain",
        action="store_true",
        help="plain lines and a prompt, and nothing that moves: for screen readers",
    )
    looks.add_argument("--json", action="store_true", help="one JSON object a line, for programs")


def _add_login(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", metavar="USER", help="log in as this user")
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        type=Path,
        help="its first line is the password of USER, which otherwise stands in"
        f" {PASSWORD_VARIABLE} or is asked for",
    )
    parser.add_argument(
        "-c",
        "--command",
        metavar="COMMAND",
        action="append",
        help="do this as USER, and leave; may be repeated. Exit status 3: something was refused",
    )


def _parse_answers(options: argparse.Namespace) -> Answers:
    if options.user is None:
        for value, name in ((options.command, "-c"), (options.password_file, "--password-file")):
            if value is not None:
                raise UsageError(f"{name} needs --user")
        return Answers()
    user = grammar.parse_user(options.user)
    if not user:
        raise UsageError("--user must be a name")
    for command in options.command or ():
        _check_command(command)
    password = _find_password(options.password_file)
    if options.command is not None and password is None and not os.isatty(STDIN):
        raise UsageError(
            f"there is no password for {user}; set {PASSWORD_VARIABLE}, or give --password-file"
        )
    commands = None if options.command is None else tuple(options.command)
    return Answers(user, password, commands, silent=commands is not None and not options.json)


def _check_command(command: str) -> None:
    try:
        grammar.parse(command)
    except UsageError as error:
        raise UsageError(f"-c '{command}': {str(error).removeprefix('Error. ')}") from None


def _find_password(file: Path | None) -> str | None:
    text = os.environ.get(PASSWORD_VARIABLE)
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8").partition("\n")[0]
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror}") from None
        except UnicodeError:
            raise UsageError(f"cannot read {file}: it is not UTF-8") from None
        if not trim(text):
            raise UsageError(f"{file} holds no password in its first line")
    return None if text is None else grammar.parse_password(text)


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
    """One line past the terminal, whatever was in the arguments."""
    _print(f"{clean_line(text)}\n", STDERR)


def _print(text: str, file: int = STDOUT) -> None:
    """The only place that writes past the terminal."""
    with suppress(OSError):
        os.write(file, text.encode(errors="replace"))
