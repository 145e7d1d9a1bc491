"""What an idle connection costs the server once it has been busy: ``python -m benchmarks.idle``.

Many users log in over TLS, and then each sends 64 KB at once. Shown is the server's memory for each
connection before that and after it: buffers that grow for a burst and never shrink would show.
"""

from __future__ import annotations

import argparse
import resource
import socket
import ssl
import sys

from .server_process import ServerProcess, password_of, user_name

BURST_BYTES = 64 * 1024
LINE = b'{"type":"active"}\n'
BURST = LINE * (BURST_BYTES // len(LINE))


def log_in(port: int, user: int) -> ssl.SSLSocket:
    """A connection over TLS on which a user is logged in."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
    connection.sendall(
        b'{"type":"hello","version":1}\n{"type":"login","id":1,"user":"%s","password":"%s"}\n'
        % (user_name(user).encode(), password_of(user).encode())
    )
    wait_for_ok(connection)
    return connection


def wait_for_ok(connection: ssl.SSLSocket) -> None:
    """Read until a reply says that something was done."""
    data = b""
    while b'"type":"ok"' not in data:
        data += connection.recv(65536)


def main() -> int:
    """Measure; print the figures in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1000, help="how many (default 1000)")
    users = parser.parse_args().users
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ServerProcess(users + 10) as server:
        warm = [log_in(server.port, user) for user in range(users, users + 10)]
        empty = server.memory_kib()
        connections = [log_in(server.port, user) for user in range(users)]
        idle = server.memory_kib()
        last = b'{"type":"block","id":2,"user":"%s"}\n' % user_name(users).encode()
        for connection in connections:
            connection.sendall(BURST + last)
        for connection in connections:
            wait_for_ok(connection)
        after = server.memory_kib()
        for connection in (*warm, *connections):
            connection.close()
    print("| connections | KiB each, idle | KiB each, after 64 KB |")
    print("|---|---|---|")
    print(f"| {users:,} | {(idle - empty) / users:.1f} | {(after - empty) / users:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
