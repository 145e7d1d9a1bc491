"""The port of a client under attack: do the private messages of others suffer?

A real server and two real clients: one writes private messages to the other, one at a time, while
strangers and an introduced user take as many connections of the latter's port as they get. Shown is
how long a message took from one client's input to the other's output, and the attacked client's
memory. The attackers come from another address of this machine, as they would from elsewhere.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import msgspec
import trio

from trio_chat.client.peering import TlsPeering
from trio_chat.net.identity import load_or_make
from trio_chat.net.transport import HandshakeError
from trio_chat.protocol.framing import encode_lines
from trio_chat.protocol.messages import TICKET_CHARACTERS, Introduce, Introduction, Listening

from .attacks import FIRST_USER, log_in
from .server_process import free_port, password_of, user_name

STRANGERS = 1500
KEPT = 200
ELSEWHERE = ("127.0.0.2", 0)
TARGET, FRIEND, ATTACKER = 0, 1, FIRST_USER
USERS = FIRST_USER + 1


class Client:
    """One of our clients, whose lines are JSON.

    Args:
        user: their number.
        server: the port of the server.
        directory: for its files.
        options: more of them.
    """

    def __init__(self, user: int, server: int, directory: Path, *options: str) -> None:
        self.name = user_name(user)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "trio_chat.client", "127.0.0.1", str(server)),
                *("--user", self.name, "--json", "--plaintext", *options),
                *("--state-dir", str(directory / self.name)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"TRIO_CHAT_PASSWORD": password_of(user), "PATH": "/usr/bin:/bin"},
        )

    def say(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def wait_for(self, **fields: str) -> None:
        """Read until there is an event with these fields."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = msgspec.json.decode(line)
            if all(event.get(name) == value for name, value in fields.items()):
                return
        raise RuntimeError(f"{self.name} has ended")

    def memory_kib(self) -> int:
        """The most that it ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])


def attack(server: int, port: int, directory: str) -> None:
    """1,500 strangers, and 200 connections of one user who was introduced, again and again."""
    Thread(target=_be_strangers, args=(port,), daemon=True).start()
    trio.run(_be_a_guest, server, Path(directory))


def _be_strangers(port: int) -> None:
    while True:
        strangers = []
        for _ in range(STRANGERS):
            with suppress(OSError):
                strangers.append(socket.create_connection(("127.0.0.1", port), 1, ELSEWHERE))
        for stranger in strangers:
            stranger.close()


async def _be_a_guest(server: int, directory: Path) -> None:
    identity = load_or_make(directory, "attacker")
    peering = TlsPeering(lambda _: directory)
    peering._identity = identity
    session = log_in(server, ATTACKER)
    session.sendall(encode_lines([Listening(free_port(), identity.certificate)]))
    lines, kept, number = session.makefile("rb"), [], 1
    while True:
        number += 1
        ticket = secrets.token_hex(TICKET_CHARACTERS // 2)
        session.sendall(encode_lines([Introduce(number, user_name(TARGET), ticket, "files")]))
        while b'"introduction"' not in (line := lines.readline()):
            pass
        introduction = msgspec.json.decode(line, type=Introduction)
        with suppress(HandshakeError, OSError):
            kept.append(await peering.dial(introduction, ticket))
        if len(kept) > KEPT:
            kept.pop(0).close()


def measure(server: int, directory: Path, seconds: float) -> tuple[list[float], int]:
    """How long private messages took under attack, in seconds, and the target's KiB."""
    port = free_port()
    target = Client(TARGET, server, directory, "--peer-port", str(port))
    friend = Client(FRIEND, server, directory)
    attacker: subprocess.Popen[bytes] | None = None
    took: list[float] = []
    try:
        target.wait_for(event="welcome")
        friend.wait_for(event="welcome")
        friend.say(f"startprivate {target.name}")
        friend.wait_for(event="link", state="started")
        arguments = ["nice", sys.executable, "-m", "benchmarks.peer_port"]
        attacker = subprocess.Popen([*arguments, str(server), str(port), str(directory / "a")])
        start = time.monotonic()
        while time.monotonic() < start + seconds:
            began, text = time.perf_counter(), str(len(took))
            friend.say(f"private {target.name} {text}")
            target.wait_for(event="private", text=text)
            took.append(time.perf_counter() - began)
            time.sleep(0.002)
        assert attacker.poll() is None, "the attack has ended"
        return took, target.memory_kib()
    finally:
        for process in (attacker, target.process, friend.process):
            if process is not None:
                process.kill()
                process.wait()


if __name__ == "__main__":
    attack(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
