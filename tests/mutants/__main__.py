"""The command line: put each bug into a copy of the program, and wait for the simulation."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from .bugs import BUGS, SEEDS_MAX, Bug

ROOT = Path(__file__).parents[2]


class Finding(Struct):
    """What came of one mutant.

    Attributes:
        bug: what was put in.
        seeds: that were needed; none if it was not found.
        failure: how it was noticed, or why it could not be tried.
        seconds: how long that took.
    """

    bug: Bug
    seeds: int | None
    failure: str
    seconds: float


def apply(bug: Bug, root: Path) -> str | None:
    """Put a bug into a copy of the program; return why that is not possible, if so."""
    path = root / "trio_chat" / bug.file
    text = path.read_text()
    if text.count(bug.old) != 1:
        return f"does not apply: its text stands {text.count(bug.old)} times in {bug.file}"
    path.write_text(text.replace(bug.old, bug.new))
    return None


def hunt(bug: Bug) -> Finding:
    """Run the simulation on a copy with a bug until it fails."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trio-chat-mutant-") as name:
        root = Path(name)
        for part in ("trio_chat", "tests"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        problem = apply(bug, root)
        if problem is not None:
            return Finding(bug, None, problem, 0.0)
        program = [sys.executable, "-m", "tests.simulation", "--from-outside"]
        limit = ["--seeds", str(SEEDS_MAX), "--processes", "1", "--stop-after", "1"]
        run = subprocess.run(program + limit, cwd=root, capture_output=True, check=False, text=True)
    seconds = time.monotonic() - started
    for line in run.stdout.splitlines():
        if line.startswith("seed ") and " failed: " in line:
            seed, _, failure = line.removeprefix("seed ").partition(" failed: ")
            return Finding(bug, int(seed), failure, seconds)
    return Finding(bug, None, run.stderr[-300:] or f"not within {SEEDS_MAX} seeds", seconds)


def main() -> int:
    """Hunt all bugs, or those whose names hold a word."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="only bugs whose names hold this")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if options.word in bug.name]
    started = time.monotonic()
    survivors = []
    with ThreadPoolExecutor(options.processes) as pool:
        for finding in pool.map(hunt, bugs):
            if finding.seeds is None:
                survivors.append(finding.bug.name)
            print(
                f"{finding.bug.name:<56}{finding.seeds or 'NOT FOUND':>10}{finding.seconds:>8.1f} s"
                f"  {finding.failure[:110]}",
                flush=True,
            )
    print(
        f"{len(bugs) - len(survivors)} of {len(bugs)} bugs found, each within {SEEDS_MAX} seeds,"
        f" in {time.monotonic() - started:.0f} s"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
