"""The server's command line: what may stand on it, and what it means."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import platformdirs

from .. import __version__, limits
from ..errors import UsageError
from ..net.tls import Plaintext
from .credentials import DEFAULT_NAME
from .log import FORMATS

_COUNT_DIGITS_MAX = 9
"""Nothing that is counted here is ever more."""


def default_data_dir(port: int | str) -> Path:
    """Where the server on a port keeps its data; two servers can't share a directory."""
    return platformdirs.user_data_path("trio-chat", appauthor=False) / f"server-{port}"


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; try {self.prog} --help")


def _port(text: str) -> int:
    # Its length first, as Python refuses to convert thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
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


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _COUNT_DIGITS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; 0 stands for no limit")
    return int(text)


def _path(text: str) -> Path:
    try:
        text.encode()
    except UnicodeEncodeError:  # SQLite takes no other
        raise argparse.ArgumentTypeError(f"{text!r} is not a name in UTF-8") from None
    return Path(text)


def _sha256(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a SHA-256; give 64 hexadecimal digits")
    return text


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ``command`` says what is to be done.

    Raises:
        UsageError: if something is wrong with it.
    """
    parser = _PARSERS.get(arguments[0] if arguments else "")
    if parser is not None:
        options = parser().parse_args(arguments[1:])
        if options.command != "passwd" and options.data_dir is None:
            options.data_dir = default_data_dir(options.port)
        return options
    options = _serve_parser().parse_args(arguments)
    if (options.cert is None) != (options.key is None):
        raise UsageError("--cert and --key go together")
    options.data_dir = options.data_dir or default_data_dir(options.port)
    return options


def _serve_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="trio-chat-server",
        description="The server of trio-chat, an instant messenger for terminals. See also"
        f" 'COMMAND --help' for the commands {', '.join(_PARSERS)}.",
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
    _add_credentials(parser)
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=_path,
        help="where mailboxes, blocks, the list of files and the key are kept"
        f" (default: {default_data_dir('PORT')})",
    )
    parser.add_argument(
        "--host",
        metavar="ADDR",
        help="listen on this address only (default: all addresses of this machine)",
    )
    parser.add_argument(
        "-d", "--debug", action="store_true", help="tell on standard error what happens"
    )
    parser.add_argument(
        "--log-format",
        choices=list(FORMATS),
        default="text",
        help="how: lines for people, or a JSON object a line (default: %(default)s)",
    )
    parser.add_argument(
        "--cert",
        metavar="FILE",
        type=Path,
        help="certificate to show, or a chain that begins with it (PEM); needs --key"
        " (default: one that the server makes for itself at its first start)",
    )
    parser.add_argument("--key", metavar="FILE", type=Path, help="its private key (PEM)")
    parser.add_argument(
        "--plaintext",
        choices=[policy.value for policy in Plaintext],
        default=Plaintext.LOOPBACK.value,
        help="from whom to accept unencrypted connections (default: %(default)s)",
    )
    _add_limits(parser)
    parser.add_argument("--version", action="version", version=f"trio-chat {__version__}")
    parser.set_defaults(command="serve")
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    for option, default, meaning in (
        (
            "--connections-per-address",
            limits.CONNECTIONS_PER_ADDRESS_MAX,
            "connections that one address may have at a time",
        ),
        (
            "--logins-per-minute",
            limits.LOGINS_PER_MINUTE_MAX,
            "logins that one address may try",
        ),
        (
            "--rate",
            limits.REQUESTS_PER_SECOND_MAX,
            "requests a second at which one user is read in the long run",
        ),
        (
            "--keep-files",
            round(limits.FILE_KEPT_SECONDS / 86400),
            "days for which the name of a registered file is kept that nobody online holds",
        ),
    ):
        parser.add_argument(
            option,
            metavar="N",
            type=_count,
            default=default,
            help=f"{meaning}; 0 for no limit (default: %(default)s)",
        )


def _parser_of(command: str, description: str) -> argparse.ArgumentParser:
    """The parser of a command about one server, which is named by its port or its data."""
    parser = _Parser(
        prog=f"trio-chat-server {command}", description=description, allow_abbrev=False
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("port", metavar="PORT", type=_port, nargs="?", help="the server's port")
    where.add_argument("--data-dir", metavar="DIR", type=_path, help="as given to the server")
    parser.set_defaults(command=command)
    return parser


def _fingerprint_parser() -> argparse.ArgumentParser:
    return _parser_of("fingerprint", "Show the fingerprint by which clients know the server.")


def _backup_parser() -> argparse.ArgumentParser:
    parser = _parser_of(
        "backup",
        "Save the messages that wait, the blocks and the catalogue of files to one file, whether"
        " the server runs or not. The key and the credentials are not in it.",
    )
    parser.add_argument("file", metavar="FILE", type=_path, help="to be made; never replaced")
    return parser


def _restore_parser() -> argparse.ArgumentParser:
    parser = _parser_of(
        "restore",
        "Put a backup in the place of a server's data, which is kept beside it. The server must"
        " not run.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="that 'backup' has made")
    parser.add_argument(
        "--hash", metavar="SHA256", type=_sha256, help="what 'backup' has printed, to be compared"
    )
    return parser


def _status_parser() -> argparse.ArgumentParser:
    parser = _parser_of("status", "Show how a running server does.")
    parser.add_argument("--json", action="store_true", help="one JSON object, times in seconds")
    return parser


def _kick_parser() -> argparse.ArgumentParser:
    parser = _parser_of(
        "kick",
        "End a user's session on a running server. Its client does not come back by itself; the"
        " user can log in again, unless you remove the account with 'passwd --remove USER'.",
    )
    parser.add_argument("user", metavar="USER", help="whose session to end")
    parser.add_argument("--message", metavar="TEXT", default="", help="what to tell them")
    return parser


def _announce_parser() -> argparse.ArgumentParser:
    parser = _parser_of(
        "announce", "Tell something to everybody who is online; it is shown as the operator's."
    )
    parser.add_argument("text", metavar="TEXT", help="what to tell, in quotes")
    return parser


def _logins_parser() -> argparse.ArgumentParser:
    parser = _parser_of(
        "logins",
        "Let nobody log in for a while, or let them in again. Whoever is online stays. It holds"
        " until the server's next start; 'status' tells.",
    )
    parser.add_argument("state", choices=["on", "off"], help="whether people can log in")
    parser.add_argument("--message", metavar="TEXT", default="", help="what to tell those who try")
    return parser


def _files_parser() -> argparse.ArgumentParser:
    parser = _parser_of(
        "files",
        "List the files that are registered with a running server, or remove some from the list."
        " Only names are removed: the files lie with those who share them.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--user", metavar="USER", default="", help="only those of this user")
    what.add_argument("--remove", metavar="NAME", default="", help="remove this name")
    what.add_argument(
        "--remove-all-of", metavar="USER", default="", help="remove all names of this user"
    )
    parser.add_argument("--json", action="store_true", help="list one JSON object a line")
    return parser


def _passwd_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="trio-chat-server passwd",
        description="Add a user, change a password, or remove a user. Passwords are kept as"
        " argon2id hashes. A running server takes notice by itself. With a user go their session,"
        " the messages that wait for them, their blocks, and the files that they have registered.",
        allow_abbrev=False,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("user", metavar="USER", nargs="?", help="whose password to set")
    what.add_argument("--remove", metavar="USER", help="remove this user")
    what.add_argument("--hash-all", action="store_true", help="hash all passwords that are not yet")
    parser.add_argument(
        "--keep-mail",
        action="store_true",
        help="with --remove: delete nothing of what waits for the user, and tell how much that is",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=_path,
        help="of the server concerned (default: those in the usual place that use the file)",
    )
    _add_credentials(parser)
    parser.set_defaults(command="passwd")
    return parser


_PARSERS = {
    "fingerprint": _fingerprint_parser,
    "passwd": _passwd_parser,
    "backup": _backup_parser,
    "restore": _restore_parser,
    "status": _status_parser,
    "kick": _kick_parser,
    "announce": _announce_parser,
    "logins": _logins_parser,
    "files": _files_parser,
}


def _add_credentials(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--credentials",
        metavar="FILE",
        type=Path,
        default=Path(DEFAULT_NAME),
        help=f"'user password' lines (default: {DEFAULT_NAME} in the current directory)",
    )
