"""Newline-delimited JSON: bytes to messages and back.

Theory of operation: all the lines that one read of a socket brought are decoded by one
call, which is several times faster than line by line. That call is also more lenient
than the protocol (it takes two objects on one line) and loses the good lines of a batch
when one is bad, so a batch in which anything looks unusual is decoded again line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

from .. import limits
from ..errors import ErrorCode, ProtocolViolation
from .messages import Request, ServerMessage

T = TypeVar("T")

_EMPTY_LINES = re.compile(rb"\n[ \t\r\n]*\n")


class Batch:
    """Messages that go to several connections alike, encoded only once."""

    __slots__ = ("_lines", "_raw")

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._raw: msgspec.Raw | None = None

    def append(self, message: object) -> int:
        """Add a message at the end; return the bytes of its line."""
        line = encode_line(message)
        self._lines.append(line)
        self._raw = None
        return len(line) + 1

    @staticmethod
    def encoded(batch: object) -> msgspec.Raw:
        """All of a batch, without its last newline."""
        assert isinstance(batch, Batch), "whatever else is to be encoded can be"
        if batch._raw is None:
            batch._raw = msgspec.Raw(b"\n".join(batch._lines))
        return batch._raw


_encoder = msgspec.json.Encoder(enc_hook=Batch.encoded)

encode_line = _encoder.encode
"""One message as JSON, without its newline."""


def encode_lines(messages: Iterable[object]) -> bytes:
    """Encode messages, one a line; those of a `Batch` are copied."""
    return _encoder.encode_lines(messages)


class LineDecoder(Generic[T]):
    """Turns the bytes of one connection into messages of one closed set.

    Attributes:
        line_bytes_max: a line that is longer, newline included, is a violation.
        skipped: how many empty lines there were; whoever counts them may begin anew.
        violation: what ended this decoder, if anything did.
    """

    def __init__(
        self, decoder: msgspec.json.Decoder[T], line_bytes_max: int = limits.LINE_BYTES_MAX
    ) -> None:
        self._decoder = decoder
        self._rest = b""
        self.line_bytes_max = line_bytes_max
        self.skipped = 0
        self.violation: ProtocolViolation | None = None

    def feed(self, data: bytes) -> list[T]:
        """Take the next bytes, return the messages that they complete.

        The messages before a bad line are returned too; `violation` is set then, and
        whatever comes after it is ignored, in this call and in later ones.
        """
        if self.violation is not None:
            return []
        end = data.rfind(b"\n") + 1
        if end == 0:
            self._rest += data
            if len(self._rest) > self.line_bytes_max:
                self.fail(ErrorCode.LINE_TOO_LONG, limit=self.line_bytes_max)
            return []
        lines = self._rest + data[:end] if self._rest else data[:end]
        self._rest = data[end:]
        if len(lines) <= self.line_bytes_max and len(self._rest) <= self.line_bytes_max:
            try:
                messages = self._decoder.decode_lines(lines)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # which line it was, and what came before, is found below
            else:
                count = len(messages)
                if count == lines.count(b"\n") and (
                    count == 1 or lines.count(b"}\n{") == count - 1
                ):
                    return messages
        return self._feed_one_by_one(lines)

    def _feed_one_by_one(self, lines: bytes) -> list[T]:
        messages: list[T] = []
        # Thousands of empty lines are cheap this way, and none is a line to decode.
        count = lines.count(b"\n")
        lines = _EMPTY_LINES.sub(b"\n", lines)
        self.skipped += count - lines.count(b"\n")
        for line in lines[:-1].split(b"\n"):
            if len(line) >= self.line_bytes_max:
                self.fail(ErrorCode.LINE_TOO_LONG, limit=self.line_bytes_max)
                return messages
            if not line.strip():
                self.skipped += 1
                continue
            try:
                messages.append(self._decoder.decode(line))
            except UnicodeDecodeError:
                self.fail(ErrorCode.BAD_LINE, reason="Not valid UTF-8")
                return messages
            except RecursionError:
                self.fail(ErrorCode.BAD_LINE, reason="Nested too deeply")
                return messages
            except msgspec.DecodeError as error:
                self.fail(ErrorCode.BAD_LINE, reason=str(error))
                return messages
        if len(self._rest) > self.line_bytes_max:
            self.fail(ErrorCode.LINE_TOO_LONG, limit=self.line_bytes_max)
        return messages

    def fail(self, code: ErrorCode, **fields: object) -> None:
        """Take nothing more, as the other side has broken the protocol."""
        self.violation = ProtocolViolation(code, **fields)
        self._rest = b""


_request_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_server_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)


def request_decoder() -> LineDecoder[Request]:
    """For the server's end of a connection, with the small line bound of a stranger."""
    return LineDecoder(_request_decoder, limits.LOGIN_LINE_BYTES_MAX)


def server_message_decoder() -> LineDecoder[ServerMessage]:
    """For the client's end of a connection."""
    return LineDecoder(_server_decoder, limits.SERVER_LINE_BYTES_MAX)
