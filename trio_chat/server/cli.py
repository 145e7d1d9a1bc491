"""The server's command line (assignment, section 3.6)."""

from __future__ import annotations

import argparse
import math
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

import trio

from .. import limits
from ..core.beginning import Settings
from ..errors import ErrorCode, FailureError, UsageError
from ..net.crowd import Crowd
from ..net.identity import Identity, load_or_make
from ..net.tcp import TcpListener
from ..net.tls import Plaintext, TlsAcceptor, server_context
from ..private_files import warning_about
from ..protocol import messages as wire
from ..protocol.framing import encode_lines
from ..storage.backup import DATABASE_NAME
from ..storage.sqlite import open_sqlite
from . import operations, operator, passwd, removal
from .accounts import Accounts, open_accounts
from .admin import SOCKET_NAME
from .app import serve
from .health import Room
from .log import FORMATS, note
from .log_writer import LogWriter, standard_error
from .options import default_data_dir, parse_arguments

EXIT_FAILURE = 1
EXIT_USAGE = 2
STDOUT = 1


def _refusal(code: ErrorCode) -> bytes:
    """What to tell those whose connection is closed at once."""
    return encode_lines([wire.Error(code, code.describe())])


def _identity(options: argparse.Namespace) -> Identity:
    if options.cert is not None:
        return Identity(options.cert, options.key)
    return load_or_make(options.data_dir, "trio-chat server")


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        options.block_duration,
        options.timeout,
        options.logins_per_minute,
        options.keep_files * 86400.0 or math.inf,
    )


async def _obey_signals(stop: trio.Event, accounts: Accounts) -> NoReturn:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for number in signals:
            if number == signal.SIGHUP:
                accounts.reload()
            elif stop.is_set():
                os._exit(128 + number)  # the second one: the user has no patience left
            else:
                stop.set()
    raise AssertionError("signals never end")


async def _leave_a_stuck_disk(stop: trio.Event, alarm: LogWriter) -> NoReturn:
    """End the program when a stop takes too long.

    Only a disk that does not answer can do that, and a thread that waits for it can't be ended.
    """
    await stop.wait()
    await trio.sleep(limits.STOP_SECONDS_MAX + limits.CLOSE_SECONDS_MAX)
    alarm(note("abandoned", "the disk does not answer; ended without waiting for it any longer"))
    alarm.close()
    os._exit(EXIT_FAILURE)


async def _run(
    options: argparse.Namespace, accounts: Accounts, write_log: LogWriter, connections_max: int
) -> None:
    stop = trio.Event()
    refusal = _refusal(ErrorCode.TLS_REQUIRED)
    crowd = Crowd(options.connections_per_address, _refusal(ErrorCode.TOO_MANY_CONNECTIONS))
    room = Room(connections_max, write_log)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_obey_signals, stop, accounts)
        if not options.data_dir.exists():  # a start that is refused leaves nothing behind
            await TcpListener(options.port, options.host).check()
            if options.cert is not None:
                server_context(_identity(options))
        store = await open_sqlite(options.data_dir / DATABASE_NAME)  # and lock the directory
        warning = warning_about(options.data_dir)
        if warning is not None:
            write_log(note("directory_open", warning))
        patience = trio.CancelScope(shield=True)  # it outlives the rest, however that ends
        nursery.start_soon(_within, patience, partial(_leave_a_stuck_disk, stop, write_log))
        removal.note_credentials(options.data_dir, options.credentials)
        try:
            # Made only by who has the lock: another start might replace the key of this one.
            context = server_context(_identity(options))
            acceptor = TlsAcceptor(context, Plaintext(options.plaintext), refusal)
            await serve(
                TcpListener(
                    options.port, options.host, acceptor, crowd, room.connections_max, room.full
                ),
                store,
                accounts,
                _settings(options),
                requests_per_second=options.rate,
                stop=stop,
                admin=options.data_dir / SOCKET_NAME,
                log=write_log if options.debug else None,
                alarm=write_log,
            )
        finally:
            stop.set()
            await store.close()
            patience.cancel()
        nursery.cancel_scope.cancel()


async def _within(scope: trio.CancelScope, wait: Callable[[], Awaitable[NoReturn]]) -> None:
    with scope:
        await wait()


def _serve(options: argparse.Namespace) -> None:
    connections_max = _allow_connections()
    accounts = open_accounts(options.credentials)
    with LogWriter(FORMATS[options.log_format], standard_error()) as write_log:
        trio.run(_run, options, accounts, write_log, connections_max)


def _fingerprint(options: argparse.Namespace) -> None:
    certificate_path = options.data_dir / "certificate.pem"
    try:
        is_there = certificate_path.exists()
    except OSError as error:
        raise FailureError(f"cannot read {certificate_path}: {error.strerror}") from error
    if not is_there:
        raise FailureError(
            f"there is no {certificate_path}; a server makes it when it starts there"
            " for the first time"
        )
    _say(Identity(certificate_path, options.data_dir / "key.pem").fingerprint)


def _passwd(options: argparse.Namespace) -> None:
    path = options.credentials
    directories = [options.data_dir]
    if options.data_dir is None:
        directories = removal.directories_of(path, default_data_dir("").parent)
    if options.hash_all:
        _say(passwd.hash_all(path))
    elif options.remove is not None:
        _say(passwd.remove(path, options.remove, directories, keep_mail=options.keep_mail))
    else:
        _say(passwd.set_password(path, options.user, directories))


def _backup(options: argparse.Namespace) -> None:
    _say(operations.save(options.data_dir, options.file))


def _restore(options: argparse.Namespace) -> None:
    _say(operations.bring_back(options.data_dir, options.file, options.hash))


def _status(options: argparse.Namespace) -> None:
    _say(operations.tell_status(options.data_dir, as_json=options.json))


def _kick(options: argparse.Namespace) -> None:
    _say(operator.kick(options.data_dir, options.user, options.message))


def _announce(options: argparse.Namespace) -> None:
    _say(operator.announce(options.data_dir, options.text))


def _logins(options: argparse.Namespace) -> None:
    _say(operator.set_logins(options.data_dir, options.state == "on", options.message))


def _files(options: argparse.Namespace) -> None:
    directory, name, owner = options.data_dir, options.remove, options.remove_all_of
    if name or owner:
        _say(operator.remove_files(directory, name, owner))
    else:
        _say(operator.list_files(directory, options.user, as_json=options.json))


_COMMANDS = {
    "serve": _serve,
    "fingerprint": _fingerprint,
    "passwd": _passwd,
    "backup": _backup,
    "restore": _restore,
    "status": _status,
    "kick": _kick,
    "announce": _announce,
    "logins": _logins,
    "files": _files,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; return the exit code: 0, 1 for a failure, 2 for bad input."""
    code = 0
    try:
        options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
        _COMMANDS[options.command](options)
    except* UsageError as errors:
        code = _fail(_first_of(errors), EXIT_USAGE)
    except* FailureError as failures:
        code = _fail(_first_of(failures), EXIT_FAILURE)
    except* KeyboardInterrupt:
        code = 128 + signal.SIGINT
    return code


def _allow_connections() -> int:
    """Use as many open files as this process may have; the usual start is far below that.

    Returns:
        How many connections there may be, so that some files are left for all else.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.CONNECTIONS_MAX + limits.DESCRIPTORS_RESERVED_MAX
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY:
        return limits.CONNECTIONS_MAX
    return max(1, min(limits.CONNECTIONS_MAX, soft - limits.DESCRIPTORS_RESERVED_MAX))


def _first_of(group: BaseException) -> str:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return str(group)


def _say(text: str) -> None:
    """Write what a command has to tell.

    Raises:
        FailureError: if nobody can read it.
    """
    try:
        print(text, flush=True)  # noqa: T201  # this is what the command is for
    except OSError as error:
        # What could not be written would be tried again at the exit, and complained about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        raise FailureError(f"cannot write to standard output: {error.strerror}") from error


def _fail(text: str, code: int) -> int:
    """Write the program's last line; a standard error that is gone, or never was, is no trouble."""
    one_line = " ".join(text.splitlines())  # whatever was in the arguments
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"trio-chat-server: {one_line}\n")
            sys.stderr.flush()
    return code
