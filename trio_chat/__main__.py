"""``python -m trio_chat run`` and ``stop``, which is what ``make run`` and ``make stop`` do."""

import sys

from .tty import guarded

STDIN = 0


def main() -> int:
    """Run one of the two commands; return the exit code."""
    with guarded(STDIN, silent=True) as tty:
        try:
            # Not before: it takes longer than somebody needs to begin to type a password.
            from .quickstart import main as run

            return run(tty)
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
