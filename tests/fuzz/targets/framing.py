"""The same bytes mean the same, however they are cut, and nothing is raised."""

from __future__ import annotations

import msgspec

from tests.fuzz.forgery import forge
from tests.fuzz.reader import Reader
from trio_chat import limits
from trio_chat.protocol import messages as wire
from trio_chat.protocol import peer
from trio_chat.protocol.framing import LineDecoder, encode_lines

UNIONS = (wire.Request, wire.ServerMessage, peer.PeerMessage)
DECODERS = [msgspec.json.Decoder(union) for union in UNIONS]
LINE_BYTES_MAX = 200


def one_input(data: bytes) -> None:
    reader = Reader(data)
    index = reader.below(len(UNIONS))
    cuts = [reader.below(256) for _ in range(reader.below(8))]
    stream = bytearray()
    while reader.more:
        match reader.below(4):
            case 0:
                stream += forge(reader, UNIONS[index]) + b"\n"
            case 1:
                stream += reader.some()
            case 2:
                stream += reader.pick((b"\n", b"\r\n", b" ", b"}\n{", b"\t\n\n"))
            case 3:
                stream += reader.rest()
    whole = bytes(stream)

    def decode(parts: list[bytes]) -> tuple[list[object], str | None]:
        decoder = LineDecoder[object](DECODERS[index], LINE_BYTES_MAX)
        messages = [message for part in parts for message in decoder.feed(part)]
        return messages, decoder.violation.text if decoder.violation else None

    messages, violation = expected = decode([whole])
    parts, at = [], 0
    for cut in cuts:
        parts.append(whole[at : at + cut])
        at += cut
    assert decode([*parts, whole[at:]]) == expected
    assert decode([whole[at : at + 1] for at in range(len(whole))]) == expected
    assert violation is None or violation.startswith("Protocol error. ")
    # What was understood can be said again, and means the same.
    again = LineDecoder[object](DECODERS[index], limits.SERVER_LINE_BYTES_MAX)
    assert again.feed(encode_lines(messages)) == messages
