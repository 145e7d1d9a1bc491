"""A short run of the simulation; the long one is ``make simulate``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

from .coverage import NEEDED, SEEDS_MIN, missing
from .runs import simulate

SEEDS = range(22, 46)

MET = (
    "server crashes",
    "clients killed",
    "connections reset",
    "connections half open",
    "resumptions",
    "requests repeated",
    "commits failed",
    "blocks done",
    "files downloaded",
    "private messages acknowledged",
)
"""What even a short run meets."""


def test_all_is_well_whatever_goes_wrong() -> None:
    counts: Counter[str] = Counter()
    for seed in SEEDS:
        result = simulate(seed, 60)
        assert result.failure is None, f"seed {seed}: {result.failure}"
        counts.update(result.counts)
    assert min(counts["texts acknowledged"], counts["texts shown"]) > 1000
    assert [name for name in MET if not counts[name]] == []


PROGRAM = (
    "from tests.simulation.runs import simulate; print(*simulate({seed}, 60).lines, sep='\\n')"
)


def run_elsewhere(seed: int, hash_seed: str) -> bytes:
    """The trace of a seed in another process."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONIOENCODING": "utf-8"}
    program = [sys.executable, "-c", PROGRAM.format(seed=seed)]
    return subprocess.run(program, check=True, capture_output=True, env=environment).stdout


def test_the_same_seed_is_the_same_run_to_the_byte_in_other_processes_too() -> None:
    here = "\n".join(simulate(4, 60).lines).encode() + b"\n"
    assert here.count(b"\n") > 200
    assert "\n".join(simulate(4, 60).lines).encode() + b"\n" == here
    assert run_elsewhere(4, "1") == here
    assert run_elsewhere(4, "2") == here


def test_another_seed_is_another_run() -> None:
    assert simulate(4, 10).lines != simulate(5, 10).lines


def test_many_seeds_must_have_met_everything() -> None:
    everything = dict.fromkeys(NEEDED, 1)
    assert missing(everything, SEEDS_MIN) == []
    assert missing({**everything, "server crashes": 0}, SEEDS_MIN) == ["server crashes"]
    assert missing({}, SEEDS_MIN - 1) == []
