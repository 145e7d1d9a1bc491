"""How good the swarm is, by the simulation; the bounds are those of any swarm whatsoever."""

import subprocess
import sys

import pytest

from trio_chat.swarm.manifest import Layout

from .simulation import MB, Swarm, layout_of, many_to_one, measure, one_to_many


@pytest.mark.parametrize("salt", range(3))
def test_one_to_four_is_done_in_time_and_the_seed_sends_its_part(salt: int) -> None:
    figures = measure(one_to_many(4, 256, salt=salt))
    assert figures.over_bound <= 1.15
    assert figures.seed_share <= 0.30
    assert figures.duplicates <= 0.05


SLOW = 20_000_000 / 8
"""Bytes per second of 20 Mbit/s."""

SLOW_FILE = Layout.of(64 * 1024 * 1024)


@pytest.mark.parametrize("salt", range(3))
def test_over_slow_and_long_links_the_seed_sends_little_twice(salt: int) -> None:
    """20 Mbit/s in both directions and 50 ms, where two that ask for the same piece cost much."""
    swarm = Swarm(SLOW_FILE, latency=0.05)
    seed = swarm.seed("seed", SLOW)
    for number in range(4):
        swarm.leecher(f"leecher{number}", SLOW, SLOW, salt=salt * 1000 + number)
    assert measure(swarm).over_bound <= 1.15
    assert seed.sent_bytes / SLOW_FILE.size <= 1.05


@pytest.mark.parametrize("seconds", [3.0, 6.0, 12.0, 24.0])
def test_a_sole_source_that_was_cut_costs_little_more_than_the_cut(seconds: float) -> None:
    def took(cut: float) -> float:
        swarm = Swarm(SLOW_FILE, latency=0.05)
        swarm.seed("seed", SLOW)
        swarm.leecher("leecher", SLOW, SLOW, salt=1)
        if cut:
            swarm.cut("seed", 5.0, cut)
        return swarm.run()

    assert took(seconds) <= took(0.0) + seconds + 3.0


FIFTY = """
from tests.swarm.simulation import measure, one_to_many
figures = measure(one_to_many(50, 256, salt=0))
print(figures.over_bound, figures.seed_share, figures.duplicates)
"""


@pytest.mark.timeout(240)
def test_one_to_fifty_is_done_in_time() -> None:
    """In a process of its own, where nothing is traced: that takes five times as long."""
    run = subprocess.run([sys.executable, "-c", FIFTY], capture_output=True, check=True, text=True)
    over_bound, seed_share, duplicates = map(float, run.stdout.split())
    assert over_bound <= 1.3
    assert seed_share <= 0.03
    assert duplicates <= 0.12


@pytest.mark.parametrize("salt", range(3))
def test_four_holders_share_the_work(salt: int) -> None:
    swarm = many_to_one(4, 256, salt=salt)
    figures = measure(swarm)
    shares = [node.sent_bytes for node in swarm.nodes.values() if node.download is None]
    assert max(shares) <= 1.25 * min(shares)
    assert figures.over_bound <= 1.1
    assert figures.duplicates == 0


@pytest.mark.parametrize("salt", range(3))
def test_faster_holders_send_more(salt: int) -> None:
    swarm = Swarm(layout_of(256))
    for name, up in (("slow", 5 * MB), ("fast", 20 * MB)):
        swarm.seed(name, up)
    swarm.leecher("leecher", 20 * MB, salt=salt)
    assert measure(swarm).over_bound <= 1.1
    assert 3 < swarm.nodes["fast"].sent_bytes / swarm.nodes["slow"].sent_bytes < 5


@pytest.mark.parametrize("salt", range(3))
def test_a_slow_leecher_does_not_hold_up_the_others(salt: int) -> None:
    swarm = Swarm(layout_of(128))
    swarm.seed("seed", 20 * MB)
    for number in range(4):
        swarm.leecher(f"leecher{number}", 20 * MB, salt=10 * salt + number)
    slow = swarm.leecher("slow", 20 * MB, 4 * MB, salt=99)
    assert measure(swarm).over_bound <= 1.15
    others = [node.done_at or 0.0 for node in swarm.nodes.values() if node is not slow]
    assert max(others) <= 1.5 * swarm.layout.size / (20 * MB)


@pytest.mark.parametrize("salt", range(3))
def test_a_holder_that_stalls_costs_little(salt: int) -> None:
    swarm = many_to_one(4, 1024, salt=salt)
    swarm.nodes["seed1"].stalls_at = 2.0
    seconds = swarm.run()
    three = swarm.layout.size / (60 * MB)
    assert seconds <= 1.15 * three
    assert swarm.nodes["leecher"].duplicates <= 2


@pytest.mark.parametrize("salt", range(3))
def test_a_holder_that_lies_or_leaves_is_replaced(salt: int) -> None:
    swarm = many_to_one(4, 256, salt=salt)
    swarm.nodes["seed0"].lies = True
    swarm.at(1.0, lambda: swarm.leave("seed1"))
    seconds = swarm.run()
    assert swarm.nodes["seed0"].sent_bytes <= 3 * swarm.layout.piece_bytes
    assert seconds <= 1.15 * swarm.layout.size / (40 * MB)


def test_a_seed_that_leaves_early_takes_nothing_along_that_others_have() -> None:
    swarm = one_to_many(4, 256, salt=1)
    layout = swarm.layout
    swarm.at(1.2 * layout.size / (20 * MB), lambda: swarm.leave("seed"))
    assert swarm.run() <= 1.3 * layout.size / (20 * MB)


def test_the_same_set_up_gives_the_same_figures() -> None:
    assert measure(one_to_many(4, 64, salt=5)) == measure(one_to_many(4, 64, salt=5))
    assert measure(one_to_many(4, 64, salt=5)) != measure(one_to_many(4, 64, salt=6))
