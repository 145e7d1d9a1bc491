"""Connections within one machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import trio

from trio_chat.net import local
from trio_chat.net.local import NAME_BYTES_MAX, connect_local, listen_local
from trio_chat.net.transport import ListenError


def deep(directory: Path) -> Path:
    """A path that is too long for a socket."""
    while len(os.fsencode(directory)) <= NAME_BYTES_MAX:
        directory = directory / "a-long-name"
    directory.mkdir(parents=True)
    return directory / "sock"


async def exchange(path: Path) -> None:
    with listen_local(path) as listener:
        assert (await trio.Path(path).stat()).st_mode & 0o777 == 0o600
        async with await connect_local(path) as client, await listener.accept() as server:
            await client.send_all(b"hello")
            assert await server.receive_some(5) == b"hello"
    assert not await trio.Path(path).exists(), "it cleans up"


async def test_two_talk(tmp_path: Path) -> None:
    await exchange(tmp_path / "sock")


async def test_a_path_that_is_too_long_for_the_system_works(tmp_path: Path) -> None:
    path = deep(tmp_path)
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError, match="too long"):
        sock.bind(str(path))
    await exchange(path)
    assert len(os.listdir("/proc/self/fd")) < 100  # noqa: PTH208  # no descriptor is left


async def test_where_descriptors_have_no_names_a_long_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_DESCRIPTORS", tmp_path / "nothing")
    path = deep(tmp_path)
    reason = f"its name has more than {NAME_BYTES_MAX} bytes; give a shorter --data-dir"
    with pytest.raises(ListenError) as caught, listen_local(path):
        pass
    assert str(caught.value) == f"cannot listen on {path}: {reason}"


async def test_what_a_crash_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    assert path.exists()
    with pytest.raises(ConnectionRefusedError):
        await connect_local(path)
    await exchange(path)
    with pytest.raises(FileNotFoundError):
        await connect_local(path)


async def test_where_no_socket_can_be_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "sock"
    with pytest.raises(ListenError, match="missing/sock: No such file"), listen_local(path):
        pass
    (tmp_path / "sock").mkdir()
    with pytest.raises(ListenError, match="Is a directory"), listen_local(tmp_path / "sock"):
        pass
    await trio.lowlevel.checkpoint()
