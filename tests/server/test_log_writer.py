"""The log goes to standard error, and nobody waits for that."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from trio_chat import limits
from trio_chat.protocol import messages as wire
from trio_chat.server.cli import main
from trio_chat.server.log import FORMATS, as_text, json_line, note
from trio_chat.server.log_writer import LogWriter, Render, standard_error

from .program import ENVIRONMENT, PATIENCE_SECONDS, free_port, talker, wait_until, write_credentials

LONG = "x" * 5000


@contextmanager
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """A small pipe, by its two ends."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(reader, "rb", 0) as read_end, os.fdopen(writer, "wb", 0) as write_end:
        yield read_end, write_end


def drain(reader: BinaryIO, size: int) -> None:
    """Read so many bytes, so that no thread is left that writes."""
    while size > 0:
        size -= len(reader.read(65536))


def test_lines_are_written_in_their_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file, LogWriter(as_text, file.fileno()) as log:
        for number in range(1000):
            log(note("happened", f"line {number}"))
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == [f"line {number}" for number in range(1000)]


def test_what_is_no_text_is_written_nevertheless(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file, LogWriter(as_text, file.fileno()) as log:
        log(note("happened", "\ud800é"))
    assert (tmp_path / "log").read_text() == "\\ud800é\n"


@pytest.mark.parametrize("format", list(FORMATS))
def test_nobody_waits_for_who_does_not_read_and_what_is_dropped_is_told(
    monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setattr(limits, "LOG_SECONDS_MAX", PATIENCE_SECONDS)
    render: Render = as_text if format == "text" else json_line
    records = 3 * limits.LOG_BYTES_MAX // len(LONG)
    with pipe() as (reader, writer):
        with LogWriter(render, writer.fileno()) as log:
            for number in range(records):
                log(note("happened", f"{number} {LONG}"))
            found: list[bytes] = []
            thread = threading.Thread(target=lambda: found.append(reader.read()))
            thread.start()
        writer.close()
        thread.join()
    read = dropped = 0
    for line in found[0].decode().splitlines():
        text = line if format == "text" else json.loads(line)["text"]
        told = re.fullmatch(
            r"([\d,]+) lines of this log are missing here, as it was not read fast enough", text
        )
        if told is None:
            read += 1
            continue
        number = int(told[1].replace(",", ""))
        dropped += number
        if format == "json":
            assert json.loads(line)["event"] == "log_dropped"
            assert json.loads(line)["fields"] == {"lines": number}
    assert dropped > records / 2
    assert read + dropped == records


def test_the_end_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOG_SECONDS_MAX", 0.01)
    with pipe() as (reader, writer):
        with LogWriter(as_text, writer.fileno()) as log:
            for _ in range(10):
                log(note("happened", LONG))
        drain(reader, 10 * (len(LONG) + 1))


def test_another_program_may_have_made_it_non_blocking() -> None:
    with pipe() as (reader, writer):
        os.set_blocking(writer.fileno(), False)
        with LogWriter(as_text, writer.fileno()) as log:
            for _ in range(10):
                log(note("happened", LONG))
            drain(reader, 10 * (len(LONG) + 1))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
def test_lines_that_could_not_be_written_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    failed = threading.Event()

    def fail(file: int, data: bytes) -> int:
        failed.set()
        raise OSError(number, os.strerror(number))

    with (tmp_path / "log").open("wb") as file, LogWriter(as_text, file.fileno()) as log:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fail)
            for _ in range(3):
                failed.clear()
                log(note("happened", "one"))
                assert failed.wait(PATIENCE_SECONDS)
        log(note("happened", "two"))
    assert (tmp_path / "log").read_text() == (
        "two\n3 lines of this log are missing here, as it was not read fast enough\n"
    )


def test_the_end_is_no_trouble_if_nothing_can_be_written(tmp_path: Path) -> None:
    with pipe() as (reader, writer):
        reader.close()
        with LogWriter(as_text, writer.fileno()) as log:
            log(note("happened", "one"))


def test_without_a_standard_error_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert standard_error() is None
    with LogWriter(as_text, None) as log:
        log(note("happened", "one"))
    assert main(["no port", "60", "600"]) == 2


def test_a_standard_error_that_is_gone_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        asked = 0

        def write(self, text: str) -> int:
            self.asked += 1
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", gone := Gone())
    assert standard_error() is None
    assert main(["no port", "60", "600"]) == 2
    assert gone.asked == 1


# -- The program -----------------------------------------------------------------------------------


@contextmanager
def unread_server(directory: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server on whose standard error nobody reads, and its port."""
    port = free_port()
    with pipe() as (_, writer):
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "trio_chat.server", str(port), "60", "600", *options),
                *("--credentials", str(write_credentials(directory))),
                *("--data-dir", str(directory / "data"), "--host", "127.0.0.1"),
            ],
            stdin=subprocess.DEVNULL,
            stderr=writer,
            env=ENVIRONMENT,
            cwd=directory,
        )
        try:
            wait_until((directory / "data" / "admin.sock").exists)
            yield process, port
        finally:
            process.kill()
            process.wait()


def when_it_listens(port: int, use: Callable[[], None]) -> None:
    def works() -> bool:
        try:
            use()
        except ConnectionRefusedError:
            return False
        return True

    wait_until(works)


@pytest.mark.parametrize("format", list(FORMATS))
def test_a_log_that_nobody_reads_stops_neither_the_chat_nor_the_end(
    tmp_path: Path, format: str
) -> None:
    with unread_server(tmp_path, "-d", "--log-format", format) as (process, port):

        def chat() -> None:
            with talker(port) as hans:
                hans.log_in("hans", "solo")
                for number in range(2, 202):
                    hans.send(wire.WhoElse(number))
                    assert hans.next() == wire.Users(number, ())

        when_it_listens(port, chat)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0


def test_a_command_whose_output_nobody_can_read_says_so(tmp_path: Path) -> None:
    path = write_credentials(tmp_path)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "trio_chat.server",
                    "passwd",
                    "--credentials",
                    str(path),
                    "hans",
                )
            ],
            input="changed\n",
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "trio-chat-server: cannot write to standard output: No space left on device\n",
    )
