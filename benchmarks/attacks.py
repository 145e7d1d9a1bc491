"""What abusive clients do, each kind in a process of its own: ``python -m benchmarks.attacks``.

An attack goes on until its process is killed. Each user of it is one of the accounts of
`server_process`, from `FIRST_USER` on.
"""

from __future__ import annotations

import base64
import random
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from tests.net.key_updates import send_key_updates

from .server_process import password_of, user_name

FIRST_USER = 2
USERS = 1000
SILENT = 5000
HALF_SHAKEN = 2000
FLOODERS = 8
STOPPED = 8
FILLERS = 10
UPDATERS = 40
KEY_UPDATES = 4_000
EMPTY_PUSHERS = 250
EMPTY_LINES = 65_000
ENDLESS_BYTES = 64 * 1024 * 1024
BLOCK = b"x" * 256 * 1024
TEXT = b"y" * 8000


def silent(port: int) -> None:
    """5,000 connections that say nothing."""
    connections = [_connect(port) for _ in range(SILENT)]
    time.sleep(3600)
    del connections


def half_shaken(port: int) -> None:
    """2,000 TLS handshakes that are begun and not finished, and begun again when cut off."""
    hello, chance = _client_hello(), random.Random(1)
    poll = select.epoll()
    open_ones: dict[int, socket.socket] = {}
    while True:
        while len(open_ones) < HALF_SHAKEN:
            connection = _connect(port)
            connection.sendall(hello[: chance.randrange(1, len(hello))])
            open_ones[connection.fileno()] = connection
            poll.register(connection.fileno(), select.EPOLLIN)
        for fd, _ in poll.poll(0.1):
            open_ones.pop(fd).close()


def handshakes(port: int) -> None:
    """Whole TLS handshakes, each with an end of the connection, as fast as they go."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def shake() -> None:
        while True:
            with suppress(OSError):
                context.wrap_socket(_connect(port)).close()

    for _ in range(4):
        Thread(target=shake).start()


def key_updates(port: int) -> None:
    """40 connections without a login that send key updates of TLS, which bring nothing."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def prepare() -> tuple[socket.socket, bytes]:
        connection, incoming, outgoing = _connect(port), ssl.MemoryBIO(), ssl.MemoryBIO()
        end = context.wrap_bio(incoming, outgoing)
        while True:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
                break
            connection.sendall(outgoing.read())
            incoming.write(connection.recv(65536))
        send_key_updates(end, KEY_UPDATES)
        return connection, outgoing.read()

    def push(connection: socket.socket, updates: bytes) -> None:
        with suppress(OSError):
            connection.settimeout(1)
            connection.sendall(updates)
            connection.recv(1)

    while True:
        threads = [Thread(target=push, args=prepare()) for _ in range(UPDATERS)]
        for thread in threads:  # at the same moment, so none is cut off before the next begins
            thread.start()
        for thread in threads:
            thread.join()


def empty_lines(port: int) -> None:
    """250 connections without a login, each with 65,000 empty lines, again and again."""

    def push() -> None:
        while True:
            with suppress(OSError):
                connection = _connect(port)
                connection.sendall(b"\n" * EMPTY_LINES)
                connection.recv(1)
                connection.close()

    for _ in range(EMPTY_PUSHERS):
        Thread(target=push).start()


def endless(port: int) -> None:
    """64 MiB without a newline, again and again, on eight connections: half of them logged in."""

    def push(user: int | None) -> None:
        while True:
            with suppress(OSError):
                connection = _connect(port) if user is None else log_in(port, user)
                for _ in range(ENDLESS_BYTES // len(BLOCK)):
                    connection.sendall(BLOCK)
                connection.close()

    for number in range(4):
        Thread(target=push, args=(None,)).start()
        Thread(target=push, args=(FIRST_USER + number,)).start()


def stopped(port: int) -> None:
    """Eight readers that stop, and come back when thrown out; eight users write to them all."""

    def stop_reading(user: int) -> None:
        while True:
            with suppress(OSError):
                connection = log_in(port, user)
                poll = select.poll()
                poll.register(connection, select.POLLRDHUP)
                poll.poll()
                connection.close()

    def write(user: int) -> None:
        connection = log_in(port, user)
        number = 2
        while True:
            lines = [b'{"type":"broadcast","id":%d,"text":"%s"}\n' % (number, TEXT)]
            for reader in range(FIRST_USER, FIRST_USER + STOPPED):
                number += 1
                name = user_name(reader).encode()
                lines.append(
                    b'{"type":"message","id":%d,"to":"%s","text":"%s"}\n' % (number, name, TEXT)
                )
            number += 1
            connection.sendall(b"".join(lines))
            _discard(connection)
            time.sleep(0.01)

    for user in range(FIRST_USER, FIRST_USER + STOPPED):
        Thread(target=stop_reading, args=(user,)).start()
        Thread(target=write, args=(user + STOPPED,)).start()


def flood(port: int) -> None:
    """Eight users who ask as fast as they can, and read the answers."""
    _flood(_log_in_many(port, FLOODERS), [], b'{"type":"whoelse","id":%d}\n')


def flood_in_crowd(port: int) -> None:
    """The same while 1,000 are online, whose names are in each of the answers."""
    users = _log_in_many(port, USERS)
    _flood(users[:FLOODERS], users[FLOODERS:], b'{"type":"whoelse","id":%d}\n')


def broadcasts(port: int) -> None:
    """Eight users who broadcast as fast as they can, while 1,000 are online."""
    users = _log_in_many(port, USERS)
    _flood(users[:FLOODERS], users[FLOODERS:], b'{"type":"broadcast","id":%d,"text":"y"}\n')


def _flood(users: list[socket.socket], others: list[socket.socket], line: bytes) -> None:
    next_ids = dict.fromkeys(users, 2)
    unsent = dict.fromkeys(users, memoryview(b""))
    poll = select.epoll()
    by_fd = {}
    for connection in [*users, *others]:
        connection.setblocking(False)
        by_fd[connection.fileno()] = connection
        events = select.EPOLLIN | (select.EPOLLOUT if connection in unsent else 0)
        poll.register(connection.fileno(), events)
    while True:
        for fd, events in poll.poll():
            connection = by_fd[fd]
            with suppress(BlockingIOError):
                if events & select.EPOLLIN and not connection.recv(1 << 20):
                    poll.unregister(fd)
                    continue
                if events & select.EPOLLOUT:
                    if not unsent[connection]:
                        first = next_ids[connection]
                        next_ids[connection] = first + 2000
                        unsent[connection] = memoryview(
                            b"".join(line % number for number in range(first, first + 2000))
                        )
                    sent = connection.send(unsent[connection])
                    unsent[connection] = unsent[connection][sent:]


def fill_mailboxes(port: int) -> None:
    """Ten users who write to 1,000 people who are offline as fast as they can."""
    users = _log_in_many(port, FILLERS)
    line = b'{"type":"message","id":%d,"to":"%s","text":"%s"}\n'

    def push(connection: socket.socket) -> None:
        number = 2
        while True:
            for reader in range(FIRST_USER + FILLERS, FIRST_USER + USERS):
                name = user_name(reader).encode()
                lines = [line % (number + more, name, TEXT) for more in range(20)]
                number += len(lines)
                connection.sendall(b"".join(lines))
                _discard(connection)

    for connection in users:
        Thread(target=push, args=(connection,)).start()


def fill_catalogue(port: int) -> None:
    """Ten users who register new names of files as fast as they can."""
    names = b'{"name":"%d-%d","size":0,"chunks":0,"piece_bytes":1,"root":"%s"}'
    root = base64.b64encode(bytes(32))

    def push(number: int, connection: socket.socket) -> None:
        next_id = 2
        while True:
            ids = range(next_id, next_id + 200)
            next_id += len(ids)
            connection.sendall(
                b"".join(
                    b'{"type":"register","id":%d,"file":%s,"chunks":[]}\n'
                    % (id, names % (number, id, root))
                    for id in ids
                )
            )
            _discard(connection)

    for number, connection in enumerate(_log_in_many(port, FILLERS)):
        Thread(target=push, args=(number, connection)).start()


def everything(port: int) -> None:
    """All of these at the same time."""
    for attack in (silent, half_shaken, handshakes, flood):
        Thread(target=attack, args=(port,)).start()


# -- Helpers -------------------------------------------------------------------------------


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def log_in(port: int, user: int) -> socket.socket:
    """A connection on which a user is logged in."""
    connection = _connect(port)
    connection.sendall(
        b'{"type":"hello","version":1}\n{"type":"login","id":1,"user":"%s","password":"%s"}\n'
        % (user_name(user).encode(), password_of(user).encode())
    )
    data = b""
    while b'"type":"ok"' not in data:
        more = connection.recv(4096)
        if not more or b'"type":"error"' in data:
            raise ConnectionError(data)
        data += more
    return connection


def _log_in_many(port: int, count: int) -> list[socket.socket]:
    return [log_in(port, FIRST_USER + number) for number in range(count)]


def _discard(connection: socket.socket) -> None:
    with suppress(BlockingIOError):
        while connection.recv(1 << 20, socket.MSG_DONTWAIT):
            pass


def _client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


ATTACKS: dict[str, Callable[[int], None]] = {
    attack.__name__: attack
    for attack in (
        *(
            silent,
            half_shaken,
            handshakes,
            key_updates,
            empty_lines,
            endless,
            stopped,
            flood,
            flood_in_crowd,
            broadcasts,
            fill_mailboxes,
            fill_catalogue,
            everything,
        ),
    )
}

if __name__ == "__main__":
    ATTACKS[sys.argv[1]](int(sys.argv[2]))
