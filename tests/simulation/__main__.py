"""The command line: one seed, as it was, or many, on all processors."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from .coverage import missing
from .runs import STEPS, Result, simulate

TAIL_LINES = 40
"""How much of the trace of a failed run is printed."""

PROGRESS_SECONDS = 10.0


def replay(result: Result) -> str:
    """The command that repeats a run."""
    return f"python -m tests.simulation --seed {result.seed} --steps {result.steps}"


def describe_failure(result: Result) -> str:
    """Why a run has failed, what came before, and how to see all of it."""
    tail = "\n".join(result.lines[-TAIL_LINES:])
    reason = (result.failure or "").splitlines()[-1]
    details = "" if reason == result.failure else f"{result.failure}\n"
    return (
        f"{tail}\n{details}seed {result.seed} failed: {reason}\n"
        f"replay: {replay(result)}; the whole trace: --trace"
    )


def print_counts(counts: Counter[str]) -> None:
    """What was exercised."""
    for name in sorted(counts):
        print(f"  {name:<32}{counts[name]:>12,}")


def run_one(seed: int, steps: int, *, from_outside: bool, trace: bool) -> bool:
    """Run a seed; return whether all was well."""
    result = simulate(seed, steps, from_outside=from_outside)
    if trace:
        print("\n".join(result.lines))
    print_counts(Counter(result.counts))
    digest = hashlib.sha256("\n".join(result.lines).encode()).hexdigest()
    print(f"trace {len(result.lines)} lines, sha256 {digest}")
    if result.failure is not None:
        print(describe_failure(result))
    else:
        print(f"seed {seed}: all well after {result.virtual_seconds:.0f} s of virtual time")
    return result.failure is None


def run_many(
    first: int, seeds: int, steps: int, processes: int, stop_after: int, *, from_outside: bool
) -> bool:
    """Run seeds in several processes; return whether all was well."""
    counts: Counter[str] = Counter()
    failed: list[int] = []
    started = told = time.monotonic()
    virtual, done = 0.0, 0
    with ProcessPoolExecutor(processes) as pool:
        chunk = max(1, min(20, seeds // (4 * processes))) if stop_after > 1 else 1
        results = pool.map(
            partial(simulate, steps=steps, from_outside=from_outside),
            range(first, first + seeds),
            chunksize=chunk,
        )
        for result in results:
            done += 1
            counts.update(result.counts)
            virtual += result.virtual_seconds
            if result.failure is not None:
                failed.append(result.seed)
                print(describe_failure(result), flush=True)
                if len(failed) == stop_after:
                    pool.shutdown(cancel_futures=True)
                    break
            if time.monotonic() > told + PROGRESS_SECONDS:
                told = time.monotonic()
                print(f"{done} of {seeds} seeds, {told - started:.0f} s", flush=True)
    seconds = time.monotonic() - started
    print_counts(counts)
    print(
        f"{done} seeds of {steps} steps in {seconds:.1f} s: {done * steps / seconds:,.0f} steps/s,"
        f" {virtual / 3600:,.1f} hours of virtual time; failed: {failed or 'none'}"
    )
    not_met = missing(counts, done)
    if not_met and not failed:
        print(f"these never happened, so this proves little: {', '.join(not_met)}")
    return not failed and not not_met


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Run the whole system in virtual time, as a seed decides.",
    )
    parser.add_argument("--seed", type=int, help="run this one, and print what it did")
    parser.add_argument("--seeds", type=int, default=200, help="run so many (200)")
    parser.add_argument("--first", type=int, default=1, help="of which this is the first (1)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each run ({STEPS})")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--stop-after", type=int, default=5, help="so many failures (5)")
    parser.add_argument("--trace", action="store_true", help="with --seed: print all that happened")
    parser.add_argument(
        "--from-outside", action="store_true", help="do not check the server's own invariants"
    )
    options = parser.parse_args()
    steps, from_outside = options.steps, options.from_outside
    if options.seed is not None:
        well = run_one(options.seed, steps, from_outside=from_outside, trace=options.trace)
    else:
        well = run_many(
            options.first,
            options.seeds,
            steps,
            options.processes,
            options.stop_after,
            from_outside=from_outside,
        )
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
