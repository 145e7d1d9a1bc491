"""How fast files move between clients, beside what aria2 and libtorrent do on the same machine.

Measured are real clients in processes of their own, from the moment when those who fetch are
told to, until the last of them says that the file is complete. All are running by then, and
those who share have hashed the file. The file is random and in the page cache, and all cut it
into pieces of the same size. The scenarios:

- one: from one client to another.
- four: from one to four at once, who also pass on to each other what they have.
- limited: the same, where nobody uploads more than 20 MB/s. No swarm is faster than its bound:
  the seed must send the file once, and all together must send it four times.
- holders: from four who have it to one.
- small: a file of 1 KiB, ten times; this is what it takes to begin and to end.
- kill: whoever fetches is killed with half of the file, started again, and told to fetch it
  again. Bytes beyond the size were moved twice.
- chat: how long messages between two others take while a file moves, and a control without.

Shown are medians. CPU time is that of all clients, system included, but not of the server or
the tracker. Ours encrypts and verifies with BLAKE3, and a download that is complete has been
synchronised to the disk. The others move clear text, verify with SHA-1, and leave the disk to
the system, to which libtorrent has given all by then. ``--directory`` on a file system in memory
takes the disk out of it. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import mmap
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trio_chat.swarm.manifest import choose_piece_bytes

from .load import Load
from .probe import QUIET_SECONDS, Probe, shown
from .server_process import ServerProcess, password_of
from .swarms import Aria2, Libtorrent, Ours, Program, Swarm, until

MIB = 2**20
WARM_BLOCK_BYTES = 64 * MIB
LIMITED_MIB_MAX = 256
LIMIT_BYTES = 20_000_000  # per second
RECEIVERS = 4
SMALL_FILES = 10
SMALL_BYTES = 1024


@dataclass
class Plan:
    """What to measure, and where.

    Attributes:
        directory: an empty one, for everything.
        mib: the size of the large files.
    """

    directory: Path
    mib: int

    @contextlib.contextmanager
    def swarm(self, program: Program, count: int, rate: int | None = None) -> Iterator[Swarm]:
        """Running clients, and nothing of them afterwards."""
        directory = self.directory / "swarm"
        directory.mkdir()
        try:
            with contextlib.closing(program(directory, count, rate)) as swarm:
                yield swarm
        finally:
            shutil.rmtree(directory)

    def file(self, size: int, name: str = "data.bin") -> Path:
        """A random file; the one of before if that will do."""
        path = self.directory / name
        if not path.exists() or path.stat().st_size != size:
            with path.open("wb") as file:
                for start in range(0, size, MIB):
                    file.write(os.urandom(min(MIB, size - start)))
        return path


@contextlib.contextmanager
def warm_memory(size: int) -> Iterator[None]:
    """Hold memory that was just touched, and give it back as fast as files take it.

    The host of a virtual machine takes back what is free for seconds, and to touch that again
    costs three times as much as to write to it: by far the largest difference between two runs.
    """
    size = min(size, free_bytes() // 2)
    blocks = [mmap.mmap(-1, WARM_BLOCK_BYTES) for _ in range(size // WARM_BLOCK_BYTES)]
    for block in blocks:
        for offset in range(0, WARM_BLOCK_BYTES, mmap.PAGESIZE):
            block[offset] = 1
    enough = free_bytes() + 4 * WARM_BLOCK_BYTES
    done = threading.Event()

    def give_back() -> None:
        while not done.wait(0.005):
            while blocks and free_bytes() < enough:
                blocks.pop().close()

    thread = threading.Thread(target=give_back)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for block in blocks:
            block.close()


def free_bytes() -> int:
    """Memory that nothing uses, not even as a cache."""
    return os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE


def check(swarm: Swarm, number: int, path: Path) -> None:
    """See whether what was fetched is right."""
    if not filecmp.cmp(path, swarm.downloads(number) / path.name, shallow=False):
        raise RuntimeError("what was fetched is not what was shared")


def transfer(
    plan: Plan, program: Program, mib: int, seeds: int, receivers: int, rate: int | None
) -> list[float]:
    """Move a file to all receivers: seconds, MB/s, CPU seconds per GiB, per cent of the seed."""
    path = plan.file(mib * MIB)
    moved = receivers * path.stat().st_size
    with plan.swarm(program, seeds + receivers, rate) as swarm:
        for number in range(seeds):
            swarm.share(number, path)
        with warm_memory(moved):
            cpu = swarm.cpu_seconds()
            start = time.perf_counter()
            for number in range(seeds, seeds + receivers):
                swarm.fetch(number, path)
            for number in range(seeds, seeds + receivers):
                if not swarm.fetched(number, path):
                    raise RuntimeError("a file was not complete in time")
            seconds = time.perf_counter() - start
            cpu = swarm.cpu_seconds() - cpu
        for number in range(seeds, seeds + receivers):
            check(swarm, number, path)
        share = swarm.share_of(0, moved)
    return [seconds, moved / seconds / 1e6, cpu / (moved / 2**30), share * 100]


def small(plan: Plan, program: Program) -> list[float]:
    """Move small files, one by one: the median and the longest time, in milliseconds."""
    times = []
    with plan.swarm(program, 2) as swarm:
        paths = [plan.file(SMALL_BYTES, f"small{number}.bin") for number in range(SMALL_FILES)]
        for path in paths:
            swarm.share(0, path)
        for path in paths:
            start = time.perf_counter()
            swarm.fetch(1, path)
            if not swarm.fetched(1, path):
                raise RuntimeError("a small file was not complete in time")
            times.append((time.perf_counter() - start) * 1000)
            check(swarm, 1, path)
    return [statistics.median(times), max(times)]


def allocated_bytes(directory: Path) -> int:
    """What the files of a directory take on the disk; holes take nothing."""
    size = 0
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has just got another name
            size += path.stat().st_blocks * 512
    return size


def kill(plan: Plan, program: Program) -> list[float]:
    """Kill whoever fetches: per cent that were there, seconds for the rest, pieces sent twice."""
    path = plan.file(plan.mib * MIB)
    size = path.stat().st_size
    with plan.swarm(program, 2) as swarm:
        swarm.share(0, path)
        swarm.fetch(1, path)
        until(lambda: allocated_bytes(swarm.downloads(1)) >= size / 2)
        swarm.clients[1].kill()
        there = allocated_bytes(swarm.downloads(1))
        swarm.restart(1)
        start = time.perf_counter()
        swarm.fetch(1, path)
        if not swarm.fetched(1, path):
            raise RuntimeError("the second try did not end in time")
        seconds = time.perf_counter() - start
        check(swarm, 1, path)
        twice = (swarm.sent_bytes(0) - size) / choose_piece_bytes(size)
    return [there / size * 100, seconds, twice]


def chat(plan: Plan, program: Program | None) -> str:
    """Let two users write to each other while a file moves; return cells of a table."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ServerProcess(2, entry=password_of(0)))
        load = Load()
        stack.callback(load.close)
        probe = Probe(load, server.port, password_of(0))
        if program is None:
            end = time.perf_counter() + QUIET_SECONDS
            while time.perf_counter() < end:
                probe.step()
        else:
            path = plan.file(plan.mib * MIB)
            swarm = stack.enter_context(plan.swarm(program, 2))
            swarm.share(0, path)
            swarm.fetch(1, path)
            while not swarm.fetched(1, path, 0.0):
                probe.step()
        return f"{len(probe.seconds)} | {shown(probe.seconds)}"


# -- Tables ----------------------------------------------------------------------------------


def table(
    title: str,
    columns: str,
    programs: list[Program],
    runs: int,
    measure: Callable[[Program], list[float]],
) -> None:
    """Measure all programs in turn, so often, and print the medians.

    Another one begins each time: memory that a virtual machine has not used for a while is
    slow to touch, and who comes after others finds what they have left.
    """
    results: dict[Program, list[list[float]]] = {program: [] for program in programs}
    for run in range(runs):
        first = run % len(programs)
        for program in [*programs[first:], *programs[:first]]:
            results[program].append(measure(program))
    print(f"\n{title}; load {os.getloadavg()[0]:.1f}\n")
    print(f"| program | {columns} |")
    print("|---" * (columns.count("|") + 2) + "|")
    for program, rows in results.items():
        cells = (f"{statistics.median(values):.2f}" for values in zip(*rows, strict=True))
        print(f"| {program.title} | {' | '.join(cells)} |", flush=True)


def table_of_transfer(
    plan: Plan, programs: list[Program], runs: int, seeds: int, receivers: int
) -> None:
    """Transfers at full speed."""
    columns = "seconds to the last | MB/s | CPU s per GiB | % from the seed"
    title = f"{seeds} to {receivers}, {plan.mib} MiB"
    table(
        title,
        columns,
        programs,
        runs,
        lambda program: transfer(plan, program, plan.mib, seeds, receivers, None),
    )


def table_of_limited(plan: Plan, programs: list[Program], runs: int) -> None:
    """Transfers with a limit, and how far they are from what is possible."""
    mib = min(plan.mib, LIMITED_MIB_MAX)
    size = mib * MIB
    bound = max(size / LIMIT_BYTES, RECEIVERS * size / (LIMIT_BYTES * (1 + RECEIVERS)))
    columns = "seconds to the last | MB/s | CPU s per GiB | % from the seed | times the bound"

    def measure(program: Program) -> list[float]:
        row = transfer(plan, program, mib, 1, RECEIVERS, LIMIT_BYTES)
        return [*row, row[0] / bound]

    title = f"1 to {RECEIVERS}, {mib} MiB, 20 MB/s each; bound {bound:.2f} s"
    table(title, columns, programs, runs, measure)


def table_of_chat(plan: Plan, programs: list[Program], runs: int) -> None:
    """Messages beside a transfer; percentiles are shown for each run."""
    print(f"\nMessages beside 1 to 1, {plan.mib} MiB; load {os.getloadavg()[0]:.1f}\n")
    print("| beside | messages | p50 ms | p99 ms | max ms |")
    print("|---|---|---|---|---|")
    for _ in range(runs):
        print(f"| nothing | {chat(plan, None)} |", flush=True)
        for program in programs:
            print(f"| {program.title} | {chat(plan, program)} |", flush=True)


Table = Callable[[Plan, list[Program], int], None]

SCENARIOS: dict[str, Table] = {
    "one": lambda plan, programs, runs: table_of_transfer(plan, programs, runs, 1, 1),
    "four": lambda plan, programs, runs: table_of_transfer(plan, programs, runs, 1, RECEIVERS),
    "limited": table_of_limited,
    "holders": lambda plan, programs, runs: table_of_transfer(plan, programs, runs, RECEIVERS, 1),
    "small": lambda plan, programs, runs: table(
        f"{SMALL_FILES} files of 1 KiB, one by one",
        "median ms | max ms",
        programs,
        runs,
        lambda program: small(plan, program),
    ),
    "kill": lambda plan, programs, runs: table(
        f"Killed at half of {plan.mib} MiB",
        "% there | seconds for the rest | pieces sent twice",
        programs,
        runs,
        lambda program: kill(plan, program),
    ),
    "chat": table_of_chat,
}


def find_programs(python: str, aria2: str) -> list[Program]:
    """Those that are here; says which are not."""
    programs: list[Program] = [Ours]
    command = [python, "-c", "import libtorrent"]
    if (
        shutil.which(python)
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    ):
        Libtorrent.python = python
        programs.append(Libtorrent)
    else:
        print("libtorrent is left out: --libtorrent-python names no Python that has it")
    program = shutil.which(aria2)
    if program is not None:
        Aria2.program = program
        programs.append(Aria2)
    else:
        print("aria2 is left out: --aria2 names no program")
    return programs


def main() -> None:
    """Measure; print a table in Markdown for each scenario."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, help="(default: all)")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="(default 1024)")
    parser.add_argument("--runs", type=int, default=3, help="of each (default 3)")
    parser.add_argument("--directory", type=Path, help="(default: that for temporary files)")
    parser.add_argument("--aria2", default="aria2c", metavar="PATH", help="(default: aria2c)")
    parser.add_argument(
        "--libtorrent-python",
        default=sys.executable,
        metavar="PATH",
        help="an interpreter that can import libtorrent (default: this one)",
    )
    arguments = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} processors")
    programs = find_programs(arguments.libtorrent_python, arguments.aria2)
    with tempfile.TemporaryDirectory(
        prefix="trio-chat-benchmark-", dir=arguments.directory
    ) as directory:
        plan = Plan(Path(directory), arguments.size)
        for name in arguments.only or SCENARIOS:
            SCENARIOS[name](plan, programs, arguments.runs)


if __name__ == "__main__":
    main()
