"""What it takes to run two BitTorrent clients beside ours: a torrent, a tracker, and a peer.

The peer is a process around libtorrent. It runs in whatever interpreter has that, so this file
imports nothing but the standard library, and is also a program: ``torrent.py PORT RATE``, where
a rate of 0 is no limit. It reads commands from standard input, a line each, whose words are
separated by tabs: ``share TORRENT DIRECTORY``, ``fetch TORRENT DIRECTORY PORT...`` and ``sent``.
It says ``Ready``, and answers ``Shared NAME``, ``Downloaded NAME`` and ``Sent BYTES``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

ANNOUNCE_SECONDS = 1

Bencoded = int | bytes | list["Bencoded"] | dict[bytes, "Bencoded"]


def bencode(value: Bencoded) -> bytes:
    """A value as BitTorrent writes it."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%s" % (len(value), value)
        case list():
            return b"l%se" % b"".join(map(bencode, value))
        case dict():
            pairs = sorted(value.items())
            return b"d%se" % b"".join(bencode(key) + bencode(item) for key, item in pairs)


def make_torrent(path: Path, announce: str, piece_bytes: int) -> bytes:
    """Describe a file.

    Args:
        path: of the file.
        announce: the address of the tracker.
        piece_bytes: the size of its pieces.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        hashes = [
            hashlib.sha1(piece, usedforsecurity=False).digest()
            for piece in iter(lambda: file.read(piece_bytes), b"")
        ]
    return bencode(
        {
            b"announce": announce.encode(),
            b"info": {
                b"name": path.name.encode(),
                b"length": size,
                b"piece length": piece_bytes,
                b"pieces": b"".join(hashes),
            },
        }
    )


class Tracker:
    """A tracker on 127.0.0.1 that tells everybody of everybody, in a thread of its own.

    Attributes:
        ports: those of all peers, whatever they share.
        address: where it is asked.
    """

    def __init__(self) -> None:
        self.ports: list[int] = []
        tracker = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asking = int(parse_qs(urlsplit(self.path).query)["port"][0])
                peers = b"".join(
                    b"\x7f\x00\x00\x01" + port.to_bytes(2, "big")
                    for port in tracker.ports
                    if port != asking
                )
                answer = bencode({b"interval": ANNOUNCE_SECONDS, b"peers": peers})
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # whoever asked has gone
                    self.wfile.write(answer)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server: socketserver.BaseServer = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/announce"

    def __enter__(self) -> Tracker:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class Peer:
    """A client around libtorrent, which finds nobody but those it is told of.

    Args:
        port: to listen on, on 127.0.0.1.
        rate: bytes per second that it may upload; 0 for no limit.
    """

    def __init__(self, port: int, rate: int) -> None:
        self._lt: Any = importlib.import_module("libtorrent")  # without types, if it is there
        lt = self._lt
        settings = lt.high_performance_seed()
        settings |= {
            "listen_interfaces": f"127.0.0.1:{port}",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "in_enc_policy": int(lt.enc_policy.pe_disabled),
            "out_enc_policy": int(lt.enc_policy.pe_disabled),
            "allow_multiple_connections_per_ip": True,
            "mixed_mode_algorithm": int(lt.bandwidth_mixed_algo_t.prefer_tcp),
            "upload_rate_limit": rate,
            "rate_limit_ip_overhead": False,
            "alert_mask": lt.alert.category_t.status_notification
            | lt.alert.category_t.storage_notification
            | lt.alert.category_t.error_notification,
        }
        self._session = lt.session(settings)
        # As it comes, the peers of a local network are not limited.
        everybody = lt.ip_filter()
        everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
        self._session.set_peer_class_filter(everybody)
        self._handles: list[Any] = []
        threading.Thread(target=self._tell_of_complete, daemon=True).start()

    def _add(self, torrent: str, directory: str) -> Any:
        lt = self._lt
        what = lt.add_torrent_params()
        what.ti = lt.torrent_info(torrent)
        what.save_path = directory
        what.trackers = []
        what.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        return what

    def share(self, torrent: str, directory: str) -> None:
        """Serve a file that is there."""
        what = self._add(torrent, directory)
        what.flags |= self._lt.torrent_flags.seed_mode
        handle = self._session.add_torrent(what)
        self._handles.append(handle)
        while not handle.status().is_seeding:
            time.sleep(0.01)
        say(f"Shared {handle.status().name}")

    def fetch(self, torrent: str, directory: str, ports: list[int]) -> None:
        """Begin to fetch a file from peers."""
        handle = self._session.add_torrent(self._add(torrent, directory))
        self._handles.append(handle)
        for port in ports:
            handle.connect_peer(("127.0.0.1", port))

    def sent_bytes(self) -> int:
        """How much of files was sent; what was sent twice counts twice."""
        return sum(handle.status().total_payload_upload for handle in self._handles)

    def _tell_of_complete(self) -> None:
        while True:
            self._session.wait_for_alert(1000)
            for alert in self._session.pop_alerts():
                if isinstance(alert, self._lt.torrent_finished_alert):
                    alert.handle.flush_cache()  # until then others can't read the end of it
                elif isinstance(alert, self._lt.cache_flushed_alert):
                    say(f"Downloaded {alert.torrent_name}")
                elif isinstance(alert, self._lt.torrent_error_alert | self._lt.file_error_alert):
                    say(f"Error. {alert.message()}")


def say(line: str) -> None:
    """Write a line in one go: two threads do, and `print` writes its end apart."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Be a peer until standard input ends."""
    peer = Peer(int(sys.argv[1]), int(sys.argv[2]))
    say("Ready")
    for line in sys.stdin:
        match line.rstrip("\n").split("\t"):
            case ["share", torrent, directory]:
                peer.share(torrent, directory)
            case ["fetch", torrent, directory, *ports]:
                peer.fetch(torrent, directory, [int(port) for port in ports])
            case ["sent"]:
                say(f"Sent {peer.sent_bytes()}")


if __name__ == "__main__":
    main()
