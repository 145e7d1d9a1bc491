"""Files between real clients (section 3.5): what is asked for arrives, whole and right."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from .programs import HOST, SERVER_GONE, Client, Pipe
from .stage import Stage

MIB = 1024 * 1024


def open_client(stage: Stage, user: str, *options: str) -> Pipe:
    """A client with a download directory of its own, logged in."""
    pipe = stage.open_pipe(*command(stage, user, *options))
    pipe.log_in(user)
    return pipe


def command(stage: Stage, user: str, *options: str) -> tuple[str, ...]:
    base = stage.client_command(HOST, str(stage.port))
    return (*base, "--download-dir", str(downloads(stage, user)), *options)


def downloads(stage: Stage, user: str) -> Path:
    return stage.directory / f"downloads of {user}"


def make_file(stage: Stage, name: str = "a.bin", size: int = MIB) -> Path:
    path = stage.directory / name
    path.write_bytes(os.urandom(size))
    return path


def wait_for_match(pipe: Pipe, pattern: str) -> re.Match[str]:
    """Wait for a line of this form."""
    found: list[re.Match[str]] = []

    def look() -> bool:
        found[:] = [match for line in pipe.lines if (match := re.fullmatch(pattern, line))]
        return bool(found)

    pipe._wait(look, pattern)
    return found[-1]


def register(pipe: Pipe, path: Path) -> None:
    pipe.send(f"register {path}")
    wait_for_match(pipe, rf"Ok\. {re.escape(path.name)} (is|was) registered.*")


def wait_for_download(pipe: Pipe, name: str) -> dict[str, int]:
    """Wait until a file is here; return the percentage that came from each source."""
    found = wait_for_match(pipe, rf"Downloaded {re.escape(name)}, .*; from (.*): .*")
    shares = (share.rsplit(" ", 1) for share in found[1].split(", "))
    return {user: int(percent.rstrip("%")) for user, percent in shares}


def assert_arrived(stage: Stage, user: str, path: Path) -> None:
    directory = downloads(stage, user)
    assert [entry.name for entry in directory.iterdir()] == [path.name]
    assert (directory / path.name).read_bytes() == path.read_bytes()


def bytes_written(client: Client) -> int:
    """What a client has put into files so far."""
    counters = Path(f"/proc/{client._process.pid}/io").read_text()
    return int(re.search(r"wchar: (\d+)", counters)[1])  # type: ignore[index]  # it is there


def test_a_file_is_registered_found_and_downloaded(chat: Stage) -> None:
    path = make_file(chat, "the plans.bin", 1_000_003)
    hans, luke, yoda = (open_client(chat, user) for user in ("hans", "luke", "yoda"))
    hans.send(f'register "{path}"')
    hans.wait_for("Ok. the plans.bin is registered: 1,000,003 bytes in 10 chunks of 100,000 bytes")
    luke.send("searchFile nothing", "searchFile the plans.bin", "searchChunk the plans.bin 2-4 7")
    luke.wait_for("Not available")
    luke.wait_for("Available: the plans.bin, 976.6 KiB")
    luke.wait_for("hans: all 10 chunks")
    luke.wait_for("hans: chunks 2-4, 7 of 10")
    luke.send("download the plans.bin")
    assert wait_for_download(luke, "the plans.bin") == {"hans": 100}
    assert_arrived(chat, "luke", path)

    hans.send("logout")
    hans.ends(0)
    yoda.send('download "the plans.bin"')
    assert wait_for_download(yoda, "the plans.bin") == {"luke": 100}
    assert_arrived(chat, "yoda", path)
    yoda.send("download the plans.bin", "downloads")
    yoda.wait_for(
        "Error. Cannot download the plans.bin: you have it already:"
        f" {downloads(chat, 'yoda') / 'the plans.bin'}"
    )


def test_one_chunk_comes_from_the_user_who_was_named(chat: Stage) -> None:
    path = make_file(chat)
    hans, luke = open_client(chat, "hans"), open_client(chat, "luke")
    register(hans, path)
    luke.send("private hans download a.bin 3")
    luke.wait_for("Error. Private messaging to hans not enabled")
    luke.send("startprivate hans", "private hans download a.bin 3")
    luke.wait_for("Downloaded chunk 3 of a.bin from hans")
    hans.send("searchChunk a.bin 3")
    hans.wait_for("luke: chunk 3 of 10")
    luke.send("searchChunk a.bin 4", "private hans download a.bin 11")
    luke.wait_for("hans: chunk 4 of 10")
    luke.wait_for("Error. Cannot download a.bin: The file has the chunks 1 to 10, and no chunk 11")
    luke.send("private hans download the plans, please")
    hans.wait_for("luke(private): download the plans, please")
    luke.send("download a.bin")
    wait_for_download(luke, "a.bin")
    assert_arrived(chat, "luke", path)


def test_what_can_not_be_done_is_said(chat: Stage) -> None:
    hans, luke = open_client(chat, "hans"), open_client(chat, "luke")
    path = make_file(chat)
    register(hans, path)
    (chat.directory / "other").mkdir()
    other = make_file(chat, "other/a.bin")
    luke.send(
        "register /nowhere/x",
        f"register {chat.directory}",
        f"register {other}",
        f"register {make_file(chat, 'empty', 0)}",
        "register",
        "download b.bin",
        "cancel a.bin",
        "downloads",
        "searchChunk a.bin 0",
        "searchChunk a.bin",
    )
    for line in (
        "Error. there is no file /nowhere/x",
        f"Error. {chat.directory} is not a file",
        f"Error. {chat.directory / 'empty'} is empty; there is nothing to share",
        "Error. Another file is registered as a.bin already. Please rename yours",
        "Error. Usage: register <filename>",
        "Error. Cannot download b.bin: Not available",
        "Error. a.bin is not being downloaded",
        "Error. Usage: searchChunk <filename> <chunks>",
    ):
        luke.wait_for(line)
    wait_for_match(luke, r"Error\. The file has the chunks 1 to 10, and no chunk 0")
    other.write_bytes(path.read_bytes())
    luke.send(f"register {other}")
    wait_for_match(luke, r"Ok\. a\.bin was registered already: .*; you serve all of it now")
    hans.send("searchFile a.bin")
    hans.wait_for("luke: all 10 chunks")


@pytest.mark.parametrize("size", [1, 7, 10, 11])
def test_files_may_be_tiny(chat: Stage, size: int) -> None:
    path = make_file(chat, size=size)
    hans, luke = open_client(chat, "hans"), open_client(chat, "luke")
    register(hans, path)
    luke.send("searchFile a.bin", "download a.bin")
    wait_for_download(luke, "a.bin")
    assert_arrived(chat, "luke", path)
    hans.send("downloads")
    hans.wait_for(f"Sent to others: {size} byte{'' if size == 1 else 's'}")


def test_a_user_who_has_blocked_another_serves_them_nothing(chat: Stage) -> None:
    hans, luke = open_client(chat, "hans"), open_client(chat, "luke")
    register(hans, make_file(chat))
    hans.send("block luke")
    hans.wait_for("luke is blocked")
    luke.send("searchFile a.bin", "download a.bin")
    luke.wait_for("Not available")
    luke.wait_for("Error. Cannot download a.bin: Not available")


def test_who_sends_wrong_bytes_is_named_and_left(chat: Stage) -> None:
    path = make_file(chat, size=3 * MIB)
    hans, yoda, luke = (open_client(chat, user) for user in ("hans", "yoda", "luke"))
    copy = chat.directory / "copy" / "a.bin"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    register(hans, copy)
    register(yoda, path)
    before = copy.stat()
    copy.write_bytes(bytes(3 * MIB))  # hans's disk goes bad, unnoticed
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    luke.send("download a.bin")
    luke.wait_for("hans sends wrong bytes for a.bin, and is not asked any more")
    assert wait_for_download(luke, "a.bin")["yoda"] > 0
    assert_arrived(chat, "luke", path)


def test_a_file_that_was_changed_is_not_served(chat: Stage) -> None:
    path = make_file(chat)
    hans, luke = open_client(chat, "hans"), open_client(chat, "luke")
    register(hans, path)
    path.write_bytes(os.urandom(MIB))
    os.utime(path, (1, 1))
    luke.send("download a.bin")
    hans.wait_for(f"a.bin is not shared any more: {path} was changed since it was registered")
    hans.send("searchFile a.bin")
    hans.wait_for("Not available")
    luke.kill()


def test_who_does_not_answer_is_overtaken(chat: Stage) -> None:
    path = make_file(chat, size=3 * MIB)
    hans, yoda, luke = (open_client(chat, user) for user in ("hans", "yoda", "luke"))
    copy = chat.directory / "copy" / "a.bin"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    register(hans, path)
    register(yoda, copy)
    hans.signal(signal.SIGSTOP)
    luke.send("download a.bin")
    assert wait_for_download(luke, "a.bin") == {"yoda": 100}
    assert_arrived(chat, "luke", path)


def test_after_a_kill_the_download_goes_on(chat: Stage) -> None:
    size = 8 * MIB
    path = make_file(chat, size=size)
    hans = open_client(chat, "hans", "--upload-limit", "6M")
    luke = open_client(chat, "luke")
    register(hans, path)
    luke.send("download a.bin")
    luke._wait(lambda: bytes_written(luke) > size // 2, "half of the file")
    before = bytes_written(luke)
    luke.kill()
    again = open_client(chat, "luke")
    again.send("download a.bin")
    wait_for_download(again, "a.bin")
    assert_arrived(chat, "luke", path)
    # A piece has 16 KiB here, and what was written between looking and killing counts too.
    assert before + bytes_written(again) < size * 1.1


def test_without_its_seed_a_download_waits_and_goes_on(chat: Stage) -> None:
    path = make_file(chat, size=6 * MIB)
    hans = open_client(chat, "hans", "--upload-limit", "4M")
    luke, yoda = open_client(chat, "luke"), open_client(chat, "yoda")
    register(hans, path)
    luke.send("download a.bin")
    luke._wait(lambda: bytes_written(luke) > 2 * MIB, "some of the file")
    hans.kill()
    register(yoda, path)
    assert wait_for_download(luke, "a.bin")["yoda"] > 0
    assert_arrived(chat, "luke", path)


def test_a_transfer_outlives_the_server(chat: Stage) -> None:
    path = make_file(chat, size=6 * MIB)
    hans = open_client(chat, "hans", "--upload-limit", "4M")
    luke = open_client(chat, "luke")
    register(hans, path)
    luke.send("download a.bin")
    luke._wait(lambda: bytes_written(luke) > MIB, "some of the file")
    chat.server.kill()
    luke.wait_for(SERVER_GONE)
    wait_for_download(luke, "a.bin")
    assert_arrived(chat, "luke", path)
    assert luke.wait_for_exit() == hans.wait_for_exit() == 1


def test_what_is_shared_is_shared_again_after_a_restart(chat: Stage) -> None:
    path = make_file(chat)
    hans, luke = open_client(chat, "hans"), open_client(chat, "luke")
    register(hans, path)
    hans.kill()
    luke.wait_for("hans logged out")
    hans = open_client(chat, "hans")
    hans.send("searchFile a.bin")
    hans.wait_for("hans: all 10 chunks")
    luke.send("download a.bin")
    wait_for_download(luke, "a.bin")
    assert_arrived(chat, "luke", path)


def test_a_disk_without_room_is_said_and_nothing_is_left_behind(chat: Stage) -> None:
    path = make_file(chat)
    hans = open_client(chat, "hans")
    register(hans, path)
    luke = chat.open_pipe(
        *("bash", "-c", 'ulimit -f 500 && exec "$@"', "client"),
        *command(chat, "luke"),
    )
    luke.log_in("luke")
    luke.send("download a.bin")
    luke.wait_for(
        f"Error. Cannot download a.bin: cannot write to {downloads(chat, 'luke')}: File too large"
    )
    luke.send("logout")
    luke.ends(3)


def test_a_download_can_be_cancelled_and_goes_on_later(chat: Stage) -> None:
    path = make_file(chat, size=4 * MIB)
    hans = open_client(chat, "hans", "--upload-limit", "2M")
    luke = chat.open_terminal(*command(chat, "luke"), columns=120)
    luke.log_in("luke")
    register(hans, path)
    luke.says("download a.bin")
    hans._wait(lambda: bytes_written(luke) > MIB, "some of the file")
    luke.says("cancel a.bin", "a.bin was cancelled; 'download' goes on with it")
    assert [entry.suffix for entry in downloads(chat, "luke").iterdir()] == [".part"]
    hans.send("logout")
    assert hans.wait_for_exit() == 0
