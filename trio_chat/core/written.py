"""What people have written into their requests: names and texts.

All names that the core knows are composed (NFC). So only what is rare has to be looked at: requests
that are no messages, and messages to somebody unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from .. import limits
from ..errors import ErrorCode
from ..protocol import messages as wire
from ..text import is_blank, normal

Named = (
    wire.Login | wire.Resume | wire.Block | wire.Unblock | wire.Introduce | wire.Search
    | wire.Register | wire.Unregister | wire.Message
)  # fmt: skip

T = TypeVar("T", bound=Named)

_FIELDS: dict[type, str] = {wire.Message: "to", wire.Search: "name", wire.Unregister: "name"}
"""Where a request has its name, if not in ``user``."""


def fault_of_text(text: str, size: int) -> ErrorCode | None:
    """Why a text of so many bytes in UTF-8 can't be said, if so."""
    if is_blank(text):
        return ErrorCode.TEXT_EMPTY
    return ErrorCode.TEXT_TOO_LONG if size > limits.TEXT_BYTES_MAX else None


def composed(request: T) -> T:
    """The same request under the name as the core knows it."""
    if isinstance(request, wire.Register):
        name = normal(request.file.name)
        if name == request.file.name:
            return request
        return replace(request, file=replace(request.file, name=name))
    field = _FIELDS.get(type(request), "user")
    name = normal(getattr(request, field))
    return request if name == getattr(request, field) else replace(request, **{field: name})


def by_name(method: Callable[..., None]) -> Callable[..., None]:
    """A method that gets its request composed."""
    return lambda owner, session, request, now: method(owner, session, composed(request), now)
