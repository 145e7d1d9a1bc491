"""What a person types: it means something that the wire can carry, or is told in one line."""

from __future__ import annotations

from typing import get_args

import msgspec

from tests.fuzz.reader import Reader
from tests.fuzz.stage import assert_harmless
from trio_chat import limits
from trio_chat.client import grammar, meanings
from trio_chat.errors import UsageError
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import encode_lines, request_decoder
from trio_chat.text import clean_line

WORDS = (*(command.name for command in grammar.COMMANDS), "help", "yoda", "2-5", '"', "'", "~", " ")
PARSERS = (grammar.parse_user, grammar.parse_password)
REQUESTS = get_args(wire.Request)


def one_input(data: bytes) -> None:
    reader = Reader(data)
    line = "".join(reader.pick((*WORDS, "")) + reader.pick((" ", "\t", "")) for _ in range(3))
    line += reader.rest().decode(errors=reader.pick(("surrogateescape", "replace")))
    for parse in PARSERS:
        try:
            parse(line).encode()
        except UsageError as error:
            assert_harmless([str(error)])
    try:
        meaning = grammar.parse(line)
    except UsageError as error:
        # One line, but for a word that it quotes; and that the terminal gets it cleaned.
        assert_harmless([clean_line(str(error))])
        return
    assert isinstance(meaning, meanings.Line)
    if isinstance(meaning, REQUESTS):
        request = msgspec.structs.replace(meaning, id=1)
        decoder = request_decoder()
        decoder.line_bytes_max = limits.LINE_BYTES_MAX
        assert decoder.feed(encode_lines([request])) == [request]
