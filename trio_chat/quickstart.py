"""``make run`` and ``make stop``: a server in the background, and a client on it.

The server is started unless one answers already, so whoever comes second joins the first.
It inherits a lock on the file that holds its process id: as long as the lock is held, that
id is the server's, and not that of a stranger who got the same number later.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import time
from enum import Enum
from pathlib import Path
from typing import TextIO

import platformdirs
import trio

from .errors import UsageError
from .net import tcp
from .protocol.framing import encode_lines, server_message_decoder
from .protocol.messages import PROTOCOL_VERSION, Hello, Welcome
from .tty import Tty

HOST = "127.0.0.1"
DEFAULT_PORT = 4000  # the Makefile's
START_SECONDS_MAX = 15.0
STOP_SECONDS_MAX = 10.0
POLL_SECONDS = 0.05
EXIT_USAGE = 2


class Answer(Enum):
    """Who answers on a port."""

    NOBODY = "nobody"
    OURS = "a trio-chat server"
    OTHER = "some other program"


async def _ask(port: int) -> Answer:
    try:
        transport = await tcp.connect(HOST, port)
    except OSError:
        return Answer.NOBODY
    try:
        transport.send_nowait(encode_lines([Hello(PROTOCOL_VERSION)]))
        with trio.move_on_after(2):
            messages = server_message_decoder().feed(await transport.receive())
            if messages and isinstance(messages[0], Welcome):
                return Answer.OURS
    except trio.BrokenResourceError:
        pass
    finally:
        transport.close()
    return Answer.OTHER


def _state_file(port: int, suffix: str) -> Path:
    directory = platformdirs.user_state_path("trio-chat", appauthor=False)
    return directory / f"quickstart-{port}.{suffix}"


def _start_server(arguments: argparse.Namespace) -> None:
    """Start a server that outlives this terminal; wait until it answers.

    Raises:
        UsageError: with what the server said, if it does not start.
    """
    port = arguments.port
    log, pid_path = _state_file(port, "log"), _state_file(port, "pid")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.parent.chmod(0o700)  # what the server says is in it, and what the client remembers
    with pid_path.open("a+") as pid_file, log.open("w") as output:
        if not _is_free(pid_file) or not _is_at(pid_file, pid_path):
            raise UsageError(f"the server on port {port} is starting or stopping")
        pid_file.truncate(0)  # before anybody takes an earlier server's id for this one's
        server = subprocess.Popen(  # noqa: S603  # our own program, our own numbers
            [
                *(sys.executable, "-m", "trio_chat.server", str(port)),
                *(arguments.block_duration, arguments.timeout),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[pid_file.fileno()],
        )
        pid_file.write(str(server.pid))
    deadline = time.monotonic() + START_SECONDS_MAX
    while trio.run(_ask, port) is not Answer.OURS:
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            pid_path.unlink(missing_ok=True)
            raise UsageError(log.read_text().strip() or "the server did not start")
        time.sleep(POLL_SECONDS)


def run(arguments: argparse.Namespace) -> int:
    """Make sure that a server answers, and be a client of it; return the exit code."""
    port = arguments.port
    answer = trio.run(_ask, port)
    if answer is Answer.OTHER:
        raise UsageError(
            f"port {port} is in use by {answer.value}; try another: make run PORT=4001"
        )
    if answer is Answer.NOBODY:
        _start_server(arguments)
        _say(f"Started a server on port {port}; 'make stop{_port_option(port)}' ends it.")
    else:
        _say(f"Joining the server on port {port}.")
    _say("The accounts stand in credentials.txt, for example: yoda, password wise.")
    from .client import cli  # costs more time than all the rest

    return cli.main([HOST, str(port)], arguments.tty)


def stop(arguments: argparse.Namespace) -> int:
    """End the server that `run` has started; return the exit code."""
    port, pid_path = arguments.port, _state_file(arguments.port, "pid")
    if not pid_path.exists():
        _say(f"No server that 'make run' has started runs on port {port}.")
        return 0
    with pid_path.open("a+") as pid_file:
        deadline = time.monotonic() + STOP_SECONDS_MAX
        was_running = False
        while not _is_free(pid_file):
            pid_file.seek(0)
            pid = pid_file.read()  # empty while the server is being started
            if pid and not was_running:
                was_running = True
                os.kill(int(pid), signal.SIGTERM)
            if time.monotonic() > deadline:
                raise UsageError("the server does not stop; end it with 'kill -9'")
            time.sleep(POLL_SECONDS)
        pid_path.unlink(missing_ok=True)  # while nobody else can use it
    if was_running:
        _say(f"Stopped the server on port {port}.")
    else:
        _say(f"No server that 'make run' has started runs on port {port}.")
    return 0


def _is_free(pid_file: TextIO) -> bool:
    try:
        fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: TextIO, path: Path) -> bool:
    """Whether a file that was opened is not replaced or removed yet."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _port_option(port: int) -> str:
    return "" if port == DEFAULT_PORT else f" PORT={port}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(tty: Tty | None = None) -> int:
    """Run one of the two commands; return the exit code: 2 if it can't be done.

    A chat that has begun ends with the client's own code, which is 2 only if it can't begin.

    Args:
        tty: the terminal of standard input, if there is one.
    """
    parser = argparse.ArgumentParser(prog="python -m trio_chat", description=__doc__)
    parser.set_defaults(tty=tty)
    commands = parser.add_subparsers(required=True)
    run_parser = commands.add_parser("run", help="start a server if there is none, and a client")
    run_parser.add_argument("port", type=int)
    run_parser.add_argument("block_duration")
    run_parser.add_argument("timeout")
    run_parser.set_defaults(command=run)
    stop_parser = commands.add_parser("stop", help="stop the server that 'run' has started")
    stop_parser.add_argument("port", type=int)
    stop_parser.set_defaults(command=stop)
    arguments = parser.parse_args()
    try:
        status: int = arguments.command(arguments)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    return status
