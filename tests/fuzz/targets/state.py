"""Damaged files in a client's state directory: it chats on, and what it adds can be read again."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.fuzz.reader import Reader
from tests.fuzz.stage import Stage, assert_harmless
from trio_chat.client.files.shelf import Shelf, _entry
from trio_chat.client.known_hosts import HostChangedError, KnownHosts
from trio_chat.client.shown import ShownKeys
from trio_chat.text import clean_line

STAGE = Stage()
KEY = ("hans", "abcd", 7)
SHELF_LINE = msgspec.json.encode(_entry(STAGE.sample.held()))
PARTS = (
    *(b"\n", b" ", b'["hans","abcd",7]', b'["hans","abcd",', b"127.0.0.1:4000 ", b"SHA256:abc"),
    *(b'"', b"\\u0000", b"[[[", b"]", b"}", b"\xff", b"99999999999999999999", b"-1"),
    *(SHELF_LINE, SHELF_LINE[:60], SHELF_LINE[60:], b'{"path":"'),
)


def one_input(data: bytes) -> None:
    reader = Reader(data)
    test = reader.pick((_shown, _hosts, _shelf))
    content = b""
    while reader.more:
        content += reader.pick((*PARTS, b"")) + reader.take(reader.below(8))
    path = STAGE.clear("state") / "file"
    path.write_bytes(content)
    test(path)


def _shown(path: Path) -> None:
    keys = ShownKeys(path)
    keys.add([KEY])
    assert KEY in keys and keys.notice is None
    assert KEY in ShownKeys(path)


def _hosts(path: Path) -> None:
    hosts = KnownHosts(path)
    try:
        notice = hosts.meet("127.0.0.1:4000", "SHA256:abc")
    except HostChangedError as error:
        assert_harmless([clean_line(str(error))])
        return
    assert notice is None or notice.endswith("It is remembered from now on.")
    assert hosts.meet("127.0.0.1:4000", "SHA256:abc") is None


def _shelf(path: Path) -> None:
    shelf = Shelf()
    shelf.open(path)
    assert shelf.notice is None
    assert all(held.path == STAGE.sample.path for held in shelf)
    shelf.put(STAGE.sample.held())
    again = Shelf()
    again.open(path)
    assert again.get(STAGE.sample.root) is not None
