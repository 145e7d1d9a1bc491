"""Between client and server nothing can be read, and nobody takes the server's place."""

from __future__ import annotations

import selectors
import shutil
import socket
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from .programs import HOST, PASSWORDS, WELCOME
from .stage import Stage

SECRETS = ("hans", "yoda", *PASSWORDS.values(), "the plans", "message", "login", WELCOME)


class RecordingProxy:
    """Passes on what clients and a server say to each other, and writes it all down.

    Attributes:
        port: where clients connect.
        seen: all bytes so far, of both directions.
    """

    def __init__(self, server_port: int) -> None:
        self.seen = bytearray()
        self._server_port = server_port
        self._stopped = False
        self._selector = selectors.DefaultSelector()
        self._files = ExitStack()
        self._listener = self._files.enter_context(socket.create_server((HOST, 0)))
        self.port: int = self._listener.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped = True
        self._thread.join()
        self._files.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stopped:
            for key, _ in self._selector.select(0.02):
                if key.data is None:
                    self._accept()
                else:
                    self._pass_on(key.fileobj, key.data)  # type: ignore[arg-type]  # sockets all

    def _accept(self) -> None:
        client = self._files.enter_context(self._listener.accept()[0])
        server = self._files.enter_context(socket.create_connection((HOST, self._server_port)))
        self._selector.register(client, selectors.EVENT_READ, server)
        self._selector.register(server, selectors.EVENT_READ, client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            data = source.recv(65536)
            self.seen += data
            if data:
                target.sendall(data)
            else:
                target.shutdown(socket.SHUT_WR)
        except OSError:  # one of both has gone
            data = b""
        if not data:
            self._selector.unregister(source)


def _talk(stage: Stage, proxy: RecordingProxy, *options: str) -> None:
    """Two users chat through a proxy: log in, send a message, log out."""
    command = stage.client_command(HOST, str(proxy.port), *options)
    yoda, hans = stage.open_pipe(*command), stage.open_pipe(*command)
    yoda.log_in("yoda")
    hans.log_in("hans")
    yoda.wait_for("hans logged in")
    hans.send("message yoda the plans")
    yoda.wait_for("hans: the plans")
    yoda.send("logout")
    assert yoda.wait_for_exit() == 0
    hans.send("logout")
    assert hans.wait_for_exit() == 0


def _readable(seen: bytes | bytearray) -> list[str]:
    return [secret for secret in SECRETS if secret.encode() in seen]


def test_nothing_of_what_is_said_can_be_read_on_the_wire(chat: Stage) -> None:
    with RecordingProxy(chat.port) as proxy:
        _talk(chat, proxy)
        assert proxy.seen.startswith(b"\x16\x03"), "a handshake"
        assert _readable(proxy.seen) == []


def test_without_encryption_all_of_it_could_be_read(chat: Stage) -> None:
    """The other test does see what there is."""
    with RecordingProxy(chat.port) as proxy:
        _talk(chat, proxy, "--plaintext")
        assert {"hans", "yoda", "solo", "wise", "the plans"} <= set(_readable(proxy.seen))


def test_the_first_contact_shows_the_fingerprint_once(chat: Stage) -> None:
    chat.known_hosts.path.unlink()
    notice = (
        f"First connection to {HOST}:{chat.port}, whose fingerprint is {chat.fingerprint}."
        " It is remembered from now on.\n"
    )
    for errors in (notice, "", ""):
        pipe = chat.open_pipe()
        pipe.log_in("hans")
        pipe.send("logout")
        assert pipe.wait_for_exit() == 0
        assert pipe.errors.decode() == errors


def test_a_server_with_another_key_is_not_talked_to(chat: Stage) -> None:
    hans = chat.log_in_pipe("hans")
    hans.send("logout")
    hans.ends(0)
    known = chat.fingerprint
    chat.server.terminate()
    shutil.rmtree(chat.directory / "data")
    chat.server.start()

    assert chat.fingerprint != known
    pipe = chat.open_pipe()
    assert pipe.wait_for_exit() == 1
    assert pipe.output == b""
    text = pipe.errors.decode()
    assert text.startswith(f"The server at {HOST}:{chat.port} is not the one that it was")
    assert text.count("\n") == 1
    assert known in text
    assert chat.fingerprint in text
    assert str(chat.known_hosts.path) in text

    chat.known_hosts.path.unlink()  # as the explanation says
    again = chat.open_pipe()
    again.log_in("hans")
    again.send("logout")
    assert again.wait_for_exit() == 0
    assert chat.fingerprint in again.errors.decode()


def test_a_terminal_is_not_asked_for_a_password_by_another_server(chat: Stage) -> None:
    chat.known_hosts.path.write_text(f"{HOST}:{chat.port} SHA256:another\n")
    terminal = chat.open_terminal(columns=200)
    assert terminal.wait_for_exit() == 1
    assert "Username" not in "\n".join(terminal.transcript)
    assert terminal.transcript[0].startswith(f"The server at {HOST}:{chat.port} is not the one")


def test_a_server_may_refuse_clear_text(stage: Stage) -> None:
    stage.start_server("--plaintext", "never")
    command = stage.client_command(HOST, str(stage.port), "--plaintext")
    for _ in range(5):
        pipe = stage.open_pipe(*command)
        assert pipe.wait_for_exit() == 1
        assert pipe.errors == b"This server takes no unencrypted connections from here\n"
        assert pipe.output == b""
    hans = stage.log_in_pipe("hans")
    hans.send("logout")
    hans.ends(0)
