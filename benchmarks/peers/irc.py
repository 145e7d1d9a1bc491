"""IRC: ngircd and InspIRCd. The room is a channel; nothing is acknowledged, nothing is kept."""

from __future__ import annotations

from ..load import Client, Login
from ..server_process import Process
from . import Peer


class IrcClient(Client):
    """Speaks IRC (RFC 2812)."""

    refusal = b"\r\nERROR"

    def log_in(self) -> Login:
        name = self.name.encode()
        self.send(b"NICK %s\r\nUSER %s 0 * :%s\r\n" % (name, name, name))
        before = yield b" 001 "
        while b"PING" in before:  # some want to know before they let anybody in
            before = yield b" 001 "
        yield b"\n"
        if self.in_room:
            self.send(b"JOIN #all\r\n")
            yield b" 366 "
            yield b"\n"

    def on_data(self, data: bytes) -> None:
        self.deliveries += data.count(b" PRIVMSG ")
        if data.startswith(b"PING"):
            self.send(b"PONG" + data[4 : data.index(b"\n") + 1])

    def message(self, to: str, text: bytes, count: int) -> None:
        self.send(b"PRIVMSG %s :%s\r\n" % (to.encode(), text) * count)

    def broadcast(self, text: bytes, count: int) -> None:
        self.message("#all", text, count)


class Ngircd(Peer):
    """ngircd, which lets in some thirty a second."""

    name = "ngircd"
    program = "ngircd"
    client = IrcClient
    idle_max = 1000

    @classmethod
    def start(cls, users: int, cpu: int) -> Process:
        process = Process(cpu)
        config = process.directory / "ngircd.conf"
        config.write_text(f"""
[Global]
Name = irc.bench.test
Info = benchmark
Listen = 127.0.0.1
Ports = {process.port}
ServerUID = root
ServerGID = root
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxNickLength = 32
MaxPenaltyTime = 0
PingTimeout = 3600
PongTimeout = 3600
[Options]
DNS = no
Ident = no
PAM = no
SyslogFacility = local1
[Channel]
Name = #all
MaxUsers = 0
""")
        process.command = ["ngircd", "--nodaemon", "--config", str(config)]
        return process


class Inspircd(Peer):
    """InspIRCd."""

    name = "inspircd"
    program = "inspircd"
    client = IrcClient

    @classmethod
    def start(cls, users: int, cpu: int) -> Process:
        process = Process(cpu)
        config = process.directory / "inspircd.conf"
        config.write_text(f"""
<server name="irc.bench.test" description="benchmark" id="00A" network="bench">
<bind address="127.0.0.1" port="{process.port}" type="clients">
<connect name="main" allow="*" maxchans="20" timeout="60" pingfreq="3600" useident="no"
  hardsendq="100M" softsendq="100M" recvq="1M" threshold="100000" commandrate="1000000000"
  fakelag="no" localmax="100000" globalmax="100000" resolvehostnames="no" limit="100000">
<performance netbuffersize="65534" somaxconn="1024" softlimit="100000" quietbursts="yes"
  nouserdns="yes">
<limits maxnick="32" maxchan="64">
<pid file="{process.directory}/inspircd.pid">
<path configdir="{process.directory}" datadir="{process.directory}" logdir="{process.directory}"
  runtimedir="{process.directory}">
""")
        process.command = [
            *("inspircd", "--nofork", "--nopid", "--runasroot", "--nolog"),
            *("--config", str(config)),
        ]
        return process
