"""MQTT with QoS 1: mosquitto. Each user is a topic, and so is the room.

Who publishes is answered when the broker has the message; who receives acknowledges it. For
somebody with a session that lasts it is kept meanwhile, in memory.
"""

from __future__ import annotations

from ..load import Client, Login
from ..server_process import Process
from . import Peer

_KEEP_SESSION = 0x00
_PUBLISH_QOS_1 = 0x32
_TYPES = 0xF0
_PUBLISH, _PUBACK = 0x30, 0x40


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _packet(kind: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, digit = size >> 7, size & 0x7F
        length += bytes([digit | 0x80 if size else digit])
        if not size:
            return bytes([kind]) + length + body


class MqttClient(Client):
    """Speaks MQTT 3.1.1; it does not acknowledge what is not QoS 1."""

    acknowledges = True
    cut = b""
    refusal = b"no such bytes"

    def log_in(self) -> Login:
        name = self.name.encode()
        body = _string(b"MQTT") + bytes([4, _KEEP_SESSION, 0, 0]) + _string(name)
        topics = _string(b"u/" + name) + b"\1"
        if self.in_room:
            topics += _string(b"all") + b"\1"
        self.send(_packet(0x10, body) + _packet(0x82, b"\0\1" + topics))
        yield b"\x20\x02"
        # Two bytes follow: whether there is a session already, and that all is well.
        self._rest = self._rest[2:]

    def on_data(self, data: bytes) -> None:
        start, end = 0, len(data)
        acks = []
        while end - start >= 2:
            size, shift, body = data[start + 1] & 0x7F, 0, start + 2
            while data[body - 1] & 0x80 and body < end:
                shift += 7
                size |= (data[body] & 0x7F) << shift
                body += 1
            if body + size > end:
                break
            kind = data[start] & _TYPES
            if kind == _PUBACK:
                self.answers += 1
            elif kind == _PUBLISH:
                id = body + 2 + (data[body] << 8 | data[body + 1])
                acks.append(b"\x40\x02" + data[id : id + 2])
            start = body + size
        self._rest = data[start:]
        if acks:
            self.deliveries += len(acks)
            self.send(b"".join(acks))

    def message(self, to: str, text: bytes, count: int) -> None:
        self._publish(b"u/" + to.encode(), text, count)

    def broadcast(self, text: bytes, count: int) -> None:
        self._publish(b"all", text, count)

    def _publish(self, topic: bytes, text: bytes, count: int) -> None:
        first = self.next_id
        self.next_id += count
        self.send(
            b"".join(
                _packet(
                    _PUBLISH_QOS_1,
                    _string(topic) + (1 + id % 0xFFFF).to_bytes(2, "big") + text,
                )
                for id in range(first, self.next_id)
            )
        )


class Mosquitto(Peer):
    """mosquitto, which writes its memory to disk now and then."""

    name = "mosquitto QoS 1"
    program = "mosquitto"
    client = MqttClient
    acknowledges = "in memory"
    keeps = True

    @classmethod
    def start(cls, users: int, cpu: int) -> Process:
        process = Process(cpu)
        config = process.directory / "mosquitto.conf"
        config.write_text(f"""
listener {process.port} 127.0.0.1
allow_anonymous true
user root
persistence true
persistence_location {process.directory}/
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 256
set_tcp_nodelay true
log_type error
""")
        process.command = ["mosquitto", "-c", str(config)]
        return process
