from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from .network import DEAD_SECONDS, End, Network, VirtualListener
from .timeline import Timeline

Pair = tuple[Network, End, End]


@pytest.fixture
async def pair(nursery: trio.Nursery) -> AsyncIterator[Pair]:
    """Two hosts that are connected."""
    timeline = Timeline()
    nursery.start_soon(timeline.run)
    network = Network(random.Random(1), timeline)
    network._drops_unread = False
    accepted: list[End] = []
    stop = network.listen("b", 1, accepted.append)
    near = await network.connect("a", "b", 1)
    near.path.delay = near.other.path.delay = 0.5
    network._jitter = 1.0
    yield network, near, accepted[0]
    stop()


async def read(end: End) -> bytes:
    """All until the end."""
    data = b""
    while some := await end.receive():
        data += some
    return data


async def test_bytes_arrive_late_and_in_order(autojump_clock: MockClock, pair: Pair) -> None:
    _, near, far = pair
    for number in range(100):
        await near.send_all(b"%d " % number)
    near.send_eof()
    before = trio.current_time()
    assert await read(far) == b"".join(b"%d " % number for number in range(100))
    assert 0.5 <= trio.current_time() - before <= 1.0


async def test_what_is_not_read_fills_the_connection(autojump_clock: MockClock, pair: Pair) -> None:
    _, near, far = pair
    near._capacity = 10
    assert near.send_nowait(b"x" * 30) == 10
    assert near.send_nowait(b"x") == 0
    assert len(await far.receive()) > 0
    await near.wait_writable()
    assert near.send_nowait(b"x") == 1


async def test_a_stall_delays_and_keeps_the_order(autojump_clock: MockClock, pair: Pair) -> None:
    network, near, far = pair
    network.stall(near, 10)
    near.send_nowait(b"a")
    with trio.move_on_after(9) as patience:
        await far.receive()
    assert patience.cancelled_caught
    near.send_nowait(b"b")
    network.heal()
    near.send_nowait(b"c")
    near.send_eof()
    assert await read(far) == b"abc"


def both(network: Network, near: End) -> None:
    network.cut(near, clean=False)


def stall_for_long(network: Network, near: End) -> None:
    network.stall(near, 100)


def partition_for_long(network: Network, near: End) -> None:
    network.partition("a", 100)


@pytest.mark.parametrize(
    ("what", "seconds"),
    [(both, 0.0), (stall_for_long, DEAD_SECONDS), (partition_for_long, DEAD_SECONDS)],
)
async def test_both_ends_learn_of_a_connection_that_is_gone(
    autojump_clock: MockClock, pair: Pair, what: Callable[[Network, End], None], seconds: float
) -> None:
    network, near, far = pair
    before = trio.current_time()
    what(network, near)
    for end in (near, far):
        with pytest.raises(trio.BrokenResourceError):
            await end.receive()
    assert trio.current_time() - before == seconds
    with pytest.raises(trio.BrokenResourceError):
        near.send_nowait(b"x")


async def test_a_half_open_connection_is_noticed_by_keep_alive(
    autojump_clock: MockClock, pair: Pair
) -> None:
    network, near, far = pair
    network.half_open(near)
    assert far.send_nowait(b"hello?") == 6
    before = trio.current_time()
    with pytest.raises(trio.BrokenResourceError):
        await near.receive()
    assert trio.current_time() == before
    with pytest.raises(trio.BrokenResourceError):
        await far.receive()
    assert trio.current_time() == before + DEAD_SECONDS


async def test_a_clean_cut_brings_what_was_on_its_way_and_nothing_later(
    autojump_clock: MockClock, pair: Pair
) -> None:
    network, near, far = pair
    near.send_nowait(b"before")
    network.cut(near, clean=True)
    near.send_nowait(b"after")
    assert await read(far) == b"before"


async def test_what_comes_to_a_closed_end_is_answered_with_a_reset(
    autojump_clock: MockClock, pair: Pair
) -> None:
    _, near, far = pair
    far.close()
    near.send_nowait(b"hello?")
    await trio.sleep(5)
    with pytest.raises(trio.BrokenResourceError):
        await near.receive()
    with pytest.raises(trio.ClosedResourceError):
        await far.receive()


@pytest.mark.parametrize("silently", [False, True])
async def test_a_program_that_is_killed_says_no_more(
    autojump_clock: MockClock, pair: Pair, silently: bool
) -> None:
    network, near, far = pair
    network.kill("a", silently=silently)
    near.send_nowait(b"from the grave")
    before = trio.current_time()
    if silently:
        with pytest.raises(trio.BrokenResourceError):
            await far.receive()
    else:
        assert await read(far) == b""
    assert (trio.current_time() - before >= DEAD_SECONDS) is silently
    with trio.move_on_after(100) as patience:
        await near.receive()
    assert patience.cancelled_caught


async def test_nobody_listens(autojump_clock: MockClock, pair: Pair) -> None:
    with pytest.raises(ConnectionRefusedError):
        await pair[0].connect("a", "b", 2)


async def test_a_listener_serves_until_it_is_cancelled(
    autojump_clock: MockClock, pair: Pair, nursery: trio.Nursery
) -> None:
    network, _, _ = pair
    served: list[bytes] = []

    async def handle(transport: object) -> None:
        assert isinstance(transport, End)
        served.append(await read(transport))

    async with trio.open_nursery() as listening:
        await listening.start(VirtualListener(network, "c", 1).serve, handle, nursery)
        end = await network.connect("a", "c", 1)
        end.send_nowait(b"hello")
        end.close()
        await trio.sleep(5)
        listening.cancel_scope.cancel()
    assert served == [b"hello"]
    await wait_all_tasks_blocked()
    with pytest.raises(ConnectionRefusedError):
        await network.connect("a", "c", 1)
