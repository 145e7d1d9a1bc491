"""Who was met: new, known, changed, and files that are not as they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_chat.client.known_hosts import HostChangedError, KnownHosts
from trio_chat.errors import FailureError

SERVER, OTHER = "chat.example:4000", "[::1]:4000"
PRINT, OTHER_PRINT = "SHA256:abc", "SHA256:xyz"


@pytest.fixture
def known_hosts(tmp_path: Path) -> KnownHosts:
    return KnownHosts(tmp_path / "state" / "known_hosts")


def test_a_new_server_is_told_once_and_remembered(known_hosts: KnownHosts) -> None:
    assert known_hosts.meet(SERVER, PRINT) == (
        f"First connection to {SERVER}, whose fingerprint is {PRINT}. It is remembered from now on."
    )
    assert known_hosts.meet(SERVER, PRINT) is None
    assert KnownHosts(known_hosts.path).meet(SERVER, PRINT) is None
    assert known_hosts.path.read_text() == f"{SERVER} {PRINT}\n"


def test_only_its_owner_reads_the_file(known_hosts: KnownHosts) -> None:
    known_hosts.meet(SERVER, PRINT)
    assert known_hosts.path.stat().st_mode & 0o777 == 0o600
    assert known_hosts.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_changed_server_is_refused_and_the_remedy_works(known_hosts: KnownHosts) -> None:
    known_hosts.meet(SERVER, PRINT)
    for _ in range(2):
        with pytest.raises(HostChangedError) as caught:
            known_hosts.meet(SERVER, OTHER_PRINT)
    text = str(caught.value)
    assert "\n" not in text
    for part in (
        f"The server at {SERVER} is not the one that it was",
        f"shows {OTHER_PRINT}",
        f"known as {PRINT}",
        "Somebody may be listening in",
        "'trio-chat-server fingerprint'",
        f"remove the line of {SERVER} from {known_hosts.path} and connect again",
    ):
        assert part in text
    assert known_hosts.path.read_text() == f"{SERVER} {PRINT}\n"

    known_hosts.path.write_text("")
    with pytest.raises(HostChangedError):
        known_hosts.meet(SERVER, OTHER_PRINT)
    later = KnownHosts(known_hosts.path)
    assert later.meet(SERVER, OTHER_PRINT) is not None
    assert later.meet(SERVER, OTHER_PRINT) is None


def test_two_servers_do_not_mix(known_hosts: KnownHosts) -> None:
    assert known_hosts.meet(SERVER, PRINT) is not None
    assert known_hosts.meet(OTHER, OTHER_PRINT) is not None
    assert known_hosts.meet(SERVER, PRINT) is None
    assert known_hosts.meet(OTHER, OTHER_PRINT) is None
    with pytest.raises(HostChangedError, match="known as SHA256:xyz"):
        known_hosts.meet(OTHER, PRINT)


@pytest.mark.parametrize(
    "data",
    [b"\n\n", b"word\n", b"one two three\n", b"\xff\xfe\x00 \xc3\n", b"cut off", b"cut off SHA256"],
)
def test_damaged_lines_are_passed_over(known_hosts: KnownHosts, data: bytes) -> None:
    known_hosts.path.parent.mkdir()
    known_hosts.path.write_bytes(f"{OTHER} {OTHER_PRINT}\n".encode() + data)
    assert known_hosts.meet(SERVER, PRINT) is not None
    assert known_hosts.meet(SERVER, PRINT) is None
    assert known_hosts.meet(OTHER, OTHER_PRINT) is None
    assert known_hosts.path.read_bytes().endswith(f"\n{SERVER} {PRINT}\n".encode())


def test_where_nothing_can_be_written_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    known_hosts = KnownHosts(tmp_path / "file" / "state" / "known_hosts")
    assert known_hosts.meet(SERVER, PRINT) == (
        f"First connection to {SERVER}, whose fingerprint is {PRINT}."
        f" It can't be remembered in {known_hosts.path} (Not a directory)."
    )


def test_who_was_met_in_this_run_is_known_without_a_file(tmp_path: Path) -> None:
    """Or whoever answers when a connection was lost would be told a token and a password."""
    (tmp_path / "file").write_text("")
    known_hosts = KnownHosts(tmp_path / "file" / "state" / "known_hosts")
    known_hosts.meet(SERVER, PRINT)
    with pytest.raises(HostChangedError, match=f"known as {PRINT}"):
        known_hosts.meet(SERVER, OTHER_PRINT)
    assert known_hosts.meet(SERVER, PRINT) is None


def test_a_file_that_cannot_be_read_stops(known_hosts: KnownHosts) -> None:
    known_hosts.path.mkdir(parents=True)
    with pytest.raises(FailureError) as caught:
        known_hosts.meet(SERVER, PRINT)
    assert str(caught.value) == f"Cannot read {known_hosts.path}: Is a directory"
