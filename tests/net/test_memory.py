"""What only connections in memory can do: be as small as a test wants."""

from trio_chat.net.memory import memory_pair


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


async def test_the_end_may_be_told_after_the_other_end_has_gone() -> None:
    left, right = memory_pair()
    right.close()
    left.send_eof()
    left.close()
    assert left.peer == "right"
