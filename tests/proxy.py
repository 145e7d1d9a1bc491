"""What somebody in the wire sees of a connection."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"


class RecordingProxy:
    """Passes on what is said between whoever connects and a server, and writes it all down.

    Attributes:
        port: where to connect.
        target_port: where that goes to.
        seen: all bytes so far, of both directions.
    """

    def __init__(self, server_port: int) -> None:
        self.seen = bytearray()
        self.target_port = server_port
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
        server = self._files.enter_context(socket.create_connection((HOST, self.target_port)))
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
