"""``python -m trio_chat.client``, and the program ``trio-chat-client``."""

import sys

from ..tty import guarded

STDIN = 0


def main() -> int:
    """Run the client; return its exit status."""
    with guarded(STDIN, silent=True) as tty:
        try:
            # Not before: it takes longer than somebody needs to begin to type a password.
            from .cli import main as run

            return run(tty=tty)
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
