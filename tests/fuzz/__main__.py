"""``python -m tests.fuzz TARGET --seconds N``: fuzz; see the package, and `make fuzz`.

What was learned stays in ``.fuzz``, and the next run begins with it.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
WORK = Path(".fuzz")
INPUT_BYTES_MAX = 1024
HANG_SECONDS_MAX = 20
MEMORY_MIB_MAX = 1024

_COVERAGE = re.compile(r"^#\d+.* cov: (\d+) ", re.MULTILINE)
_EXECUTIONS = re.compile(r"^stat::number_of_executed_units: (\d+)", re.MULTILINE)


def fuzz(target: str, seconds: int) -> bool:
    """Fuzz one target, print a row of the table; return whether nothing was found."""
    learned, findings = WORK / target / "corpus", WORK / target / "findings"
    for directory in (learned, findings):
        directory.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    seeds = CORPUS / target
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.engine", target),
            *(str(learned), *([str(seeds)] if seeds.is_dir() else [])),
            *(f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}"),
            *(f"-timeout={HANG_SECONDS_MAX}", f"-report_slow_units={HANG_SECONDS_MAX}"),
            f"-rss_limit_mb={MEMORY_MIB_MAX}",
            *(f"-artifact_prefix={findings}/", "-print_final_stats=1"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    (WORK / target / "log").write_text(ran.stdout)
    coverage = _COVERAGE.findall(ran.stdout) or ["?"]
    executions = _EXECUTIONS.findall(ran.stdout) or ["?"]
    found = sorted(set(findings.iterdir()) - before)
    failed = ran.returncode != 0 or bool(found)
    count = f"{len(found) or 1}" if failed else "0"
    row = (target, executions[-1], coverage[0], coverage[-1], count)
    print(f"| {' | '.join(row)} |", flush=True)
    if failed:
        print("\n".join(ran.stdout.splitlines()[-60:]), file=sys.stderr)
        for path in found:
            print(f"replay: {sys.executable} -m tests.fuzz {target} --replay {path}")
    return not failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=(*TARGETS, "all"))
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="an input that was kept")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        module = importlib.import_module(f"tests.fuzz.targets.{arguments.target}")
        module.one_input(arguments.replay.read_bytes())
        print("It does no harm.")
        return 0
    targets = TARGETS if arguments.target == "all" else (arguments.target,)
    print("| target | executions | branches at first | at last | findings |")
    print("|---|---|---|---|---|", flush=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(lambda target: fuzz(target, arguments.seconds), targets))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
