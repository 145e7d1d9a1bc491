"""The least that a server can do: the yardstick for what our guarantees cost.

It decodes each message, passes it on and answers its sender, with the same framing, the
same sockets and one send for each receiver and batch. It keeps no state but who is there:
no acknowledgement, no store, no blocks, no limits, no deadlines. Run by
``benchmarks.compare`` beside the real server, so that the two can be compared whatever
the machine does at that moment.
"""

from __future__ import annotations

import sys

import msgspec
import trio

from trio_chat.net.tcp import TcpListener
from trio_chat.net.transport import Transport
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import encode_line, encode_lines, request_decoder


class Reference:
    """All that it knows: the connections, and what is pending for each."""

    def __init__(self) -> None:
        self._users: dict[str, Transport] = {}
        self._pending: dict[Transport, list[object]] = {}
        self._seq = 0

    async def handle(self, transport: Transport) -> None:
        """Serve one connection."""
        decoder = request_decoder()
        user = ""
        while data := await transport.receive():
            for request in decoder.feed(data):
                if isinstance(request, wire.Message):
                    self._seq += 1
                    delivery = wire.Delivery(self._seq, user, "c", request.id, request.text)
                    self._put(self._users[request.to], delivery)
                    self._put(transport, wire.Ok(request.id))
                elif isinstance(request, wire.Broadcast):
                    line = msgspec.Raw(encode_line(wire.Announcement(user, "", 0, request.text)))
                    for name, other in self._users.items():
                        if name != user:
                            self._put(other, line)
                    self._put(transport, wire.Sent(request.id, complete=True))
                elif isinstance(request, wire.Login):
                    user = request.user
                    self._users[user] = transport
                    self._put(transport, wire.Ok(request.id))
            for receiver, messages in self._pending.items():
                receiver.send_nowait(encode_lines(messages))
            self._pending.clear()

    def _put(self, receiver: Transport, message: object) -> None:
        self._pending.setdefault(receiver, []).append(message)


async def main(port: int) -> None:
    """Serve until killed."""
    async with trio.open_nursery() as nursery:
        await TcpListener(port, "127.0.0.1").serve(Reference().handle, nursery)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
