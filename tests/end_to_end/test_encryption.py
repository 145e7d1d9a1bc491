"""Between client and server nothing can be read, and nobody takes the server's place."""

from __future__ import annotations

import shutil

from tests.proxy import RecordingProxy

from .programs import HOST, PASSWORDS, WELCOME
from .stage import Stage

SECRETS = ("hans", "yoda", *PASSWORDS.values(), "the plans", "message", "login", WELCOME)


def _talk(stage: Stage, proxy: RecordingProxy, *options: str) -> None:
    """Two users chat through a proxy: log in, send a message, log out."""
    command = stage.client_command(HOST, str(proxy.port), *options)
    yoda, hans = stage.open_pipe(*command), stage.open_pipe(*command)
    yoda.log_in("yoda")
    hans.log_in("hans")
    yoda.wait_for("hans logged in")
    hans.send("message yoda the plans")
    yoda.wait_for("hans: the plans")
    yoda.send("logout")
    assert yoda.wait_for_exit() == 0
    hans.send("logout")
    assert hans.wait_for_exit() == 0


def _readable(seen: bytes | bytearray) -> list[str]:
    return [secret for secret in SECRETS if secret.encode() in seen]


def test_nothing_of_what_is_said_can_be_read_on_the_wire(chat: Stage) -> None:
    with RecordingProxy(chat.port) as proxy:
        _talk(chat, proxy)
        assert proxy.seen.startswith(b"\x16\x03"), "a handshake"
        assert _readable(proxy.seen) == []


def test_without_encryption_all_of_it_could_be_read(chat: Stage) -> None:
    """The other test does see what there is."""
    with RecordingProxy(chat.port) as proxy:
        _talk(chat, proxy, "--plaintext")
        assert {"hans", "yoda", "solo", "wise", "the plans"} <= set(_readable(proxy.seen))


def test_the_first_contact_shows_the_fingerprint_once(chat: Stage) -> None:
    chat.known_hosts.path.unlink()
    notice = (
        f"First connection to {HOST}:{chat.port}, whose fingerprint is {chat.fingerprint}."
        " It is remembered from now on.\n"
    )
    for errors in (notice, "", ""):
        pipe = chat.open_pipe()
        pipe.log_in("hans")
        pipe.send("logout")
        assert pipe.wait_for_exit() == 0
        assert pipe.errors.decode() == errors


def test_a_server_with_another_key_is_not_talked_to(chat: Stage) -> None:
    hans = chat.log_in_pipe("hans")
    hans.send("logout")
    hans.ends(0)
    known = chat.fingerprint
    chat.server.terminate()
    shutil.rmtree(chat.directory / "data")
    chat.server.start()

    assert chat.fingerprint != known
    pipe = chat.open_pipe()
    assert pipe.wait_for_exit() == 1
    assert pipe.output == b""
    text = pipe.errors.decode()
    assert text.startswith(f"The server at {HOST}:{chat.port} is not the one that it was")
    assert text.count("\n") == 1
    assert known in text
    assert chat.fingerprint in text
    assert str(chat.known_hosts.path) in text

    chat.known_hosts.path.unlink()  # as the explanation says
    again = chat.open_pipe()
    again.log_in("hans")
    again.send("logout")
    assert again.wait_for_exit() == 0
    assert chat.fingerprint in again.errors.decode()


def test_a_terminal_is_not_asked_for_a_password_by_another_server(chat: Stage) -> None:
    chat.known_hosts.path.write_text(f"{HOST}:{chat.port} SHA256:another\n")
    terminal = chat.open_terminal(columns=200)
    assert terminal.wait_for_exit() == 1
    assert "Username" not in "\n".join(terminal.transcript)
    assert terminal.transcript[0].startswith(f"The server at {HOST}:{chat.port} is not the one")


def test_a_server_may_refuse_clear_text(stage: Stage) -> None:
    stage.start_server("--plaintext", "never")
    command = stage.client_command(HOST, str(stage.port), "--plaintext")
    for _ in range(5):
        pipe = stage.open_pipe(*command)
        assert pipe.wait_for_exit() == 1
        assert pipe.errors == b"This server takes no unencrypted connections from here\n"
        assert pipe.output == b""
    hans = stage.log_in_pipe("hans")
    hans.send("logout")
    hans.ends(0)
