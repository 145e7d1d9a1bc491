"""Introductions: how one client finds another, to talk without the server (section 3.4).

Nothing is kept here. A client says where it listens, the session remembers that, and whoever
may know is told; so an introduction is only as old as what it tells.
"""

from __future__ import annotations

from .. import limits
from ..addresses import is_loopback
from ..protocol import messages as wire
from .sessions import Session


def address_for(asker: Session, user: Session) -> str:
    """The address at which one user's client can reach another's.

    It is the one that the server sees, never one that a client has named: or anybody could
    have others connect to wherever they like. A client on the server's own machine is seen
    under an address that only that machine can use, so others get the one under which they
    have reached the server.
    """
    if is_loopback(user.address) and not is_loopback(asker.address):
        return asker.local_address
    return user.address


def introduce(
    request: wire.Introduce, asker: Session, user: Session
) -> tuple[wire.Introduction, wire.Introduced]:
    """What to tell the asker, and what the user; both listen."""
    assert asker.listening is not None
    assert user.listening is not None
    seconds = limits.INTRODUCTION_SECONDS
    return (
        wire.Introduction(
            request.id,
            address_for(asker, user),
            user.listening.port,
            user.listening.certificate,
            seconds,
        ),
        wire.Introduced(
            asker.user, asker.listening.certificate, request.ticket, seconds, request.purpose
        ),
    )
