"""What only connections in memory can do: be as small as a test wants."""

import trio

from trio_chat.net.memory import MemoryListener, memory_pair
from trio_chat.net.transport import Transport


async def test_the_capacity_is_exact() -> None:
    left, right = memory_pair(capacity_bytes=10)
    assert left.send_nowait(b"123456789abc") == 10
    assert left.send_nowait(b"more") == 0
    assert right.send_nowait(b"other way") == 9
    assert await right.receive() == b"123456789a"
    assert left.send_nowait(b"more") == 4


def test_each_end_names_the_other() -> None:
    left, right = memory_pair(names=("server", "client"))
    assert (left.peer, right.peer) == ("client", "server")


async def test_a_connection_may_come_from_any_address() -> None:
    hosts: list[str] = []

    async def note(transport: Transport) -> None:
        hosts.append(transport.peer_host)

    async with trio.open_nursery() as nursery:
        listener = MemoryListener()
        await nursery.start(listener.serve, note, nursery)
        for connecting in (listener.connect(), listener.connect("192.0.2.1")):
            transport = await connecting
            assert await transport.receive() == b""
            transport.close()
        nursery.cancel_scope.cancel()
    assert hosts == ["127.0.0.1", "192.0.2.1"]


async def test_the_end_may_be_told_after_the_other_end_has_gone() -> None:
    left, right = memory_pair()
    right.close()
    left.send_eof()
    left.close()
    assert left.peer == "right"
