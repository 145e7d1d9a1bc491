"""Whether an address is this machine's: a connection from one that has gone is lost.

The other end would not be heard of for as long as `tcp` waits for an answer, though it is known
here at once that none can come: another network was joined, or a cable was pulled out. Asking the
kernel from time to time works on every system; being told by it does not.
"""

from __future__ import annotations

import errno
import socket

import trio

from ..addresses import is_loopback

CHECK_SECONDS = 1.0
"""How often it is looked at."""


async def wait_until_gone(address: str) -> None:
    """Wait until this machine has an address no more that it has now; else for ever."""
    if is_loopback(address) or not is_ours(address):
        await trio.sleep_forever()
    while is_ours(address):  # noqa: ASYNC110  # there is no event for it everywhere
        await trio.sleep(CHECK_SECONDS)


def is_ours(address: str) -> bool:
    """Whether the kernel knows an address as its own; if it can't say, it is."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
