"""Messages made up from their types: well-formed or nearly, with values that like to do harm.

A message that joins the protocol is made up too, as all of this follows from its type alone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from msgspec import inspect

from trio_chat import limits

from .reader import Reader

NAMES = ("hans", "yoda", "luke", "vader", "nobody", "a.bin")
TICKETS = ("0" * 32, "9f86d081884c7d659a2feaa0c55ad015", "f" * 32)
TEXTS = (
    *NAMES,
    "",
    "\x1b[2J\x1b]0;owned\x07",
    "a\r\nhans: forged\u2028b\x85c",
    "\x9b31m\u202eedoc\u2066",
    "../../etc/passwd",
    "\0",
    "x" * 300,
    "\u00e4" * (limits.TEXT_BYTES_MAX // 2 + 1),
    "127.0.0.1",
    "::1%eth0",
)
ENDLESS = 2**63


def forge(reader: Reader, union: object, usual: Mapping[str, Any] | None = None) -> bytes:
    """A line without its newline: a message of a union, or what resembles one.

    Args:
        reader: decides.
        union: of message types, or one of them.
        usual: for names of fields, values that make sense now; they are taken mostly.
    """
    kind = reader.pick(get_args(union) or (union,))
    return msgspec.json.encode(_fields(reader, inspect.type_info(kind), usual or {}))


def _fields(reader: Reader, kind: inspect.Type, usual: Mapping[str, Any]) -> dict[str, Any]:
    assert isinstance(kind, inspect.StructType)
    fields: dict[str, Any] = {} if kind.tag is None else {"type": kind.tag}
    for field in kind.fields:
        if field.encode_name in usual and reader.below(8):
            fields[field.encode_name] = usual[field.encode_name]
        elif field.required or reader.below(2):
            fields[field.encode_name] = _value(reader, field.type, usual)
    return fields


def _value(reader: Reader, kind: inspect.Type, usual: Mapping[str, Any]) -> Any:  # noqa: C901
    match kind:
        case inspect.IntType():
            least, most = kind.ge or 0, kind.le or ENDLESS
            return reader.pick((least, least + reader.below(16), most, least - 1, most + 1))
        case inspect.FloatType():
            return reader.pick((1.0, 0.0, float(reader.below(256)), 1e300, -1.0))
        case inspect.BoolType():
            return bool(reader.below(2))
        case inspect.StrType(pattern=str()):
            return reader.pick((*TICKETS, reader.text()))
        case inspect.StrType():
            return reader.pick((*TEXTS, reader.text()))
        case inspect.BytesType():
            data = reader.some()
            size = kind.min_length if kind.min_length and reader.below(8) else len(data)
            return base64.b64encode(data.ljust(size, b"\0")[:size]).decode()
        case inspect.VarTupleType():
            return [_value(reader, kind.item_type, usual) for _ in range(reader.below(12))]
        case inspect.LiteralType():
            return reader.pick(kind.values)
        case inspect.EnumType():
            return reader.pick([member.value for member in kind.cls])
        case inspect.UnionType():
            return _value(reader, reader.pick(kind.types), usual)
        case inspect.StructType():
            return _fields(reader, kind, usual)
        case inspect.NoneType():
            return None
    raise AssertionError(f"no value of {kind} is known")
