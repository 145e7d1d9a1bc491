"""XMPP: prosody and ejabberd. The room is one of XEP-0045, without the noise of its presence.

A server does not acknowledge a message, but handles what a client sends in order; so a ping
behind it (XEP-0199) tells when it was taken.
"""

from __future__ import annotations

import base64
import json
import shutil
import urllib.request
from pathlib import Path

from ..load import Client, Login
from ..server_process import Process, free_port, password_of, user_name
from . import Peer

_STREAM = (
    b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
_ROOM = b"all@rooms.localhost"


class XmppClient(Client):
    """Speaks XMPP (RFC 6120)."""

    cut = b">"
    refusal = b"<failure"
    _pinged = 0

    def log_in(self) -> Login:
        name = self.name
        self.send(_STREAM)
        yield b"</stream:features>"
        secret = base64.b64encode(f"\0{name}\0{password_of(self.number)}".encode())
        self.send(
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>" % secret
        )
        yield b"<success"
        self.send(_STREAM)
        yield b"</stream:features>"
        self.send(
            b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            b"<resource>r</resource></bind></iq>"
        )
        yield b"</bind>"
        self.send(b"<presence/>")
        self._ping(b"ready")
        before = yield b"ready"
        self.on_data(before)  # what was kept comes before
        yield b">"
        if self.in_room:
            self.send(
                b"<presence to='%s/%s'><x xmlns='http://jabber.org/protocol/muc'>"
                b"<history maxstanzas='0'/></x></presence>" % (_ROOM, name.encode())
            )
            yield b"<subject"
            yield b"</message>"

    def _ping(self, id: bytes) -> None:
        self.send(b"<iq type='get' id='%s' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>" % id)

    def on_data(self, data: bytes) -> None:
        self.deliveries += data.count(b"</body>")
        if self._pinged and (b"id='taken'" in data or b'id="taken"' in data):
            self.answers, self._pinged = self.answers + self._pinged, 0

    def message_and_confirm(self, to: str, text: bytes, count: int) -> None:
        self.message(to, text, count)
        self._pinged = count
        self._ping(b"taken")

    def message(self, to: str, text: bytes, count: int) -> None:
        template = b"<message to='%s@localhost' type='chat'><body>%s</body></message>"
        self.send(template % (to.encode(), text) * count)

    def broadcast(self, text: bytes, count: int) -> None:
        template = b"<message to='%s' type='groupchat'><body>%s</body></message>"
        self.send(template % (_ROOM, text) * count)


class Prosody(Peer):
    """prosody, with its defaults for storage; a crowd of 1,000 takes it a minute or two."""

    name = "prosody"
    program = "prosody"
    client = XmppClient
    keeps = True
    crowd_max = 300

    @classmethod
    def start(cls, users: int, cpu: int) -> Process:
        process = Process(cpu)
        data = process.directory / "data"
        accounts = data / "localhost" / "accounts"
        accounts.mkdir(parents=True)
        for number in range(users):
            entry = f'return {{ ["password"] = "{password_of(number)}"; }};\n'
            (accounts / f"{user_name(number)}.dat").write_text(entry)
        config = process.directory / "prosody.cfg.lua"
        config.write_text(f"""
run_as_root = true
daemonize = false
data_path = "{data}"
pidfile = "{process.directory}/prosody.pid"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {process.port} }}
s2s_ports = {{ }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
modules_enabled = {{ "saslauth", "disco", "ping", "offline", "roster", "presence" }}
modules_disabled = {{ "s2s", "tls", "posix" }}
c2s_tcp_keepalives = false
network_settings = {{ tcp_backlog = 1024 }}
log = {{ error = "*stderr" }}
VirtualHost "localhost"
Component "rooms.localhost" "muc"
  muc_room_locking = false
  muc_room_default_history_length = 0
  muc_room_default_presence_broadcast = {{
    visitor = false; participant = false; moderator = false
  }}
""")
        process.command = ["prosody", "-F", "--config", str(config)]
        return process


class Ejabberd(Peer):
    """ejabberd, with passwords in its own database, in clear."""

    name = "ejabberd"
    program = "ejabberdctl"
    client = XmppClient
    keeps = True

    @classmethod
    def is_installed(cls) -> bool:
        return shutil.which("erl") is not None and bool(cls._libraries())

    @classmethod
    def _libraries(cls) -> list[Path]:
        return sorted(Path("/usr/lib").glob("*/ejabberd-*/ebin"))

    @classmethod
    def start(cls, users: int, cpu: int) -> Process:
        process = Process(cpu)
        config = process.directory / "ejabberd.yml"
        cls._http_port = free_port()
        config.write_text(f"""
hosts: [localhost]
loglevel: error
auth_method: internal
auth_password_format: plain


shaper_rules: {{}}
api_permissions:
  "bench": {{from: [mod_http_api], who: {{access: {{allow: all}}}}, what: "*"}}
listen:
  - {{port: {process.port}, ip: "127.0.0.1", module: ejabberd_c2s, access: all, backlog: 1024,
      starttls: false, max_stanza_size: 262144}}
  - {{port: {cls._http_port}, ip: "127.0.0.1", module: ejabberd_http,
      request_handlers: {{/api: mod_http_api}}}}
modules:
  mod_disco: {{}}
  mod_ping: {{}}
  mod_roster: {{}}
  mod_offline: {{access_max_user_messages: none}}
  mod_muc:
    host: rooms.localhost
    max_users: 10000
    max_user_conferences: 10
    min_message_interval: 0
    default_room_options: {{presence_broadcast: [], max_users: 10000, persistent: true}}
    history_size: 0
""")
        process.environment = {
            "EJABBERD_CONFIG_PATH": str(config),
            "EJABBERD_LOG_PATH": str(process.directory / "ejabberd.log"),
            "HOME": str(process.directory),
        }
        process.command = [
            *("erl", "-noinput", "+K", "true", "+P", "250000", "+S", "1:1"),
            *("-pa", *map(str, cls._libraries())),
            *("-mnesia", "dir", f'"{process.directory}/spool"', "-s", "ejabberd"),
        ]
        return process

    @classmethod
    def prepare(cls, process: Process, users: int) -> None:
        for number in range(users):
            account = {
                "user": user_name(number),
                "host": "localhost",
                "password": password_of(number),
            }
            request = urllib.request.Request(
                f"http://127.0.0.1:{cls._http_port}/api/register", json.dumps(account).encode()
            )
            urllib.request.urlopen(request).close()

    _http_port = 0
