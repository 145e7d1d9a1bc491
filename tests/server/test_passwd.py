"""``passwd``: what becomes of the credentials file, and how a password is asked for."""

from __future__ import annotations

import getpass
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from trio_chat import limits
from trio_chat.errors import FailureError, UsageError
from trio_chat.server import passwd
from trio_chat.server.credentials import parse_lines, read_credentials

from .harness import QUICK_HASHER
from .program import ENVIRONMENT, PATIENCE_SECONDS, run_module

GOOD = b"hans solo\nyoda wise\nluke skywalker\n"
HASH = QUICK_HASHER.hash("wise", salt=b"the same anytime").encode()


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwd, "HASHER", QUICK_HASHER)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "accounts"
    path.write_bytes(GOOD)
    return path


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Says what stands on standard input, which is no terminal."""

    def pipe(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))

    return pipe


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says what is typed at a terminal."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def type_in(*answers: str | BaseException) -> None:
        left = list(answers)

        def ask(prompt: str) -> str:
            answer = left.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr(getpass, "getpass", ask)

    return type_in


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")


def expect_untouched(path: Path, data: bytes = GOOD) -> None:
    """The file is as it was, and there is no other."""
    assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]


# -- What becomes of the file --------------------------------------------------------------------


def test_a_new_user_stands_at_the_end(path: Path, pipe: Callable[[bytes], None]) -> None:
    pipe(b"beep\n")
    assert passwd.set_password(path, "r2d2") == f"Added r2d2 in {path}."
    assert path.read_bytes().startswith(GOOD + b"r2d2 $argon2id$")
    assert path.read_bytes().count(b"\n") == 4
    credentials = read_credentials(path)
    assert credentials.check("r2d2", "beep")
    assert credentials.check("hans", "solo")
    assert list(path.parent.iterdir()) == [path]


def test_a_changed_password_stands_where_the_old_one_stood(
    path: Path, pipe: Callable[[bytes], None]
) -> None:
    pipe(b"green\n")
    assert passwd.set_password(path, "yoda") == f"Changed the password of yoda in {path}."
    assert lines_of(path)[0::2] == GOOD.split(b"\n")[0::2]
    assert lines_of(path)[1].startswith(b"yoda $argon2id$")
    assert read_credentials(path).check("yoda", "green")
    assert not read_credentials(path).check("yoda", "wise")
    assert list(path.parent.iterdir()) == [path]


def test_a_removed_user_is_gone(path: Path) -> None:
    assert passwd.remove(path, "yoda") == (
        f"Removed yoda from {path}.\nNo data of a server were found that uses this file. What a"
        " server has kept of yoda stays there; 'passwd --remove' with its --data-dir deletes it."
    )
    expect_untouched(path, b"hans solo\nluke skywalker\n")


def test_every_plain_password_is_hashed_and_hashes_stay(path: Path) -> None:
    path.write_bytes(b"hans solo\nyoda %s\nluke skywalker\n" % HASH)
    assert passwd.hash_all(path) == f"Hashed 2 passwords in {path}."
    assert lines_of(path)[1] == b"yoda " + HASH
    entries = {user: entry for _, user, entry in parse_lines(path.read_bytes(), "accounts")}
    assert all(entry.startswith("$argon2id$") for entry in entries.values())
    credentials = read_credentials(path)
    for user, password in (("hans", "solo"), ("yoda", "wise"), ("luke", "skywalker")):
        assert credentials.check(user, password)
    hashed = path.read_bytes()
    assert passwd.hash_all(path) == f"All passwords in {path} are hashed already."
    expect_untouched(path, hashed)


def test_what_is_changed_while_passwords_are_hashed_is_not_undone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meanwhile:
        """While the last password is hashed, others change the file."""

        def hash(self, password: str) -> str:
            if password == "skywalker":
                path.write_bytes(b"yoda %s\nluke force\nr2d2 beep\n" % HASH)
            return QUICK_HASHER.hash(password)

    monkeypatch.setattr(passwd, "HASHER", Meanwhile())
    assert passwd.hash_all(path) == f"Hashed 2 passwords in {path}."
    assert lines_of(path)[0] == b"yoda " + HASH
    credentials = read_credentials(path)
    assert credentials.users == {"yoda", "luke", "r2d2"}
    assert credentials.check("luke", "force")
    assert b"force" not in path.read_bytes()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\n\t hans   solo \n\nyoda wise\n\n", b"\n\t hans   solo \n\n\n"),
        (b"hans solo\r\nyoda wise\r\nluke sky\r\n", b"hans solo\r\nluke sky\r\n"),
        (b"hans solo\nyoda wise\nluke sky", b"hans solo\nluke sky"),
        (b"\xef\xbb\xbfhans solo\nyoda wise\n", b"\xef\xbb\xbfhans solo\n"),
        (b"hans so\rlo\nyoda wise\nluke sky\n", b"hans so\rlo\nluke sky\n"),
        ("hans so\u2028l\x0bo\nyoda wise\n".encode(), "hans so\u2028l\x0bo\n".encode()),
    ],
    ids=["blanks", "crlf", "no-end", "bom", "cr", "other-line-ends"],
)
def test_other_lines_stay_as_they_are(path: Path, before: bytes, after: bytes) -> None:
    path.write_bytes(before)
    passwd.remove(path, "yoda")
    expect_untouched(path, after)


@pytest.mark.parametrize(
    ("before", "user", "pattern"),
    [
        (b"hans solo", "luke", b"hans solo\nluke %s\n"),
        (b"hans solo\r\nyoda wise", "luke", b"hans solo\r\nyoda wise\r\nluke %s\r\n"),
        (b"hans solo\r\nyoda wise", "yoda", b"hans solo\r\nyoda %s\r\n"),
        (b"\xef\xbb\xbfhans solo\nyoda wise\n", "hans", b"\xef\xbb\xbfhans %s\nyoda wise\n"),
        (b"", "luke", b"luke %s\n"),
    ],
)
def test_a_new_line_ends_as_the_others_do(
    path: Path, pipe: Callable[[bytes], None], before: bytes, user: str, pattern: bytes
) -> None:
    path.write_bytes(before)
    pipe(b"beep\n")
    passwd.set_password(path, user)
    entries = {user: entry for _, user, entry in parse_lines(path.read_bytes(), "accounts")}
    assert path.read_bytes() == pattern % entries[user].encode()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_the_mode_of_the_file_is_kept(path: Path, mode: int) -> None:
    path.chmod(mode)
    passwd.remove(path, "yoda")
    assert path.stat().st_mode & 0o777 == mode


def test_a_new_file_is_its_owners_alone(tmp_path: Path, pipe: Callable[[bytes], None]) -> None:
    path = tmp_path / "new"
    pipe(b"solo")
    assert passwd.set_password(path, "hans") == f"Added hans in {path}."
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_credentials(path).check("hans", "solo")


def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    passwd.remove(link, "yoda")
    assert link.is_symlink()
    assert path.read_bytes() == b"hans solo\nluke skywalker\n"


def test_a_write_that_fails_changes_nothing_and_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(FailureError, match=r"cannot write .*: No space left on device"):
        passwd.remove(path, "yoda")
    expect_untouched(path)


def test_what_others_change_while_a_password_is_typed_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(io.StringIO):
        def isatty(self) -> bool:
            path.write_bytes(GOOD + b"r2d2 beep\n")
            return False

    monkeypatch.setattr(sys, "stdin", Slow("force\n"))
    passwd.set_password(path, "vader")
    assert read_credentials(path).users == {"hans", "yoda", "luke", "r2d2", "vader"}


# -- What is refused -----------------------------------------------------------------------------


def test_the_last_user_and_a_stranger_cannot_be_removed(path: Path) -> None:
    path.write_bytes(b"hans solo\n")
    with pytest.raises(UsageError, match="has no user yoda"):
        passwd.remove(path, "yoda")
    with pytest.raises(UsageError, match="hans is the last user in"):
        passwd.remove(path, "hans")
    expect_untouched(path, b"hans solo\n")


def test_hashing_without_a_file_makes_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no users"):
        passwd.hash_all(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [GOOD + b"broken\n", GOOD + b"hans again\n"])
def test_a_malformed_file_is_not_touched_and_no_password_asked_for(
    path: Path, data: bytes, terminal: Callable[..., None]
) -> None:
    path.write_bytes(data)
    terminal()
    changes: list[Callable[[], str]] = [
        lambda: passwd.set_password(path, "r2d2"),
        lambda: passwd.remove(path, "yoda"),
        lambda: passwd.hash_all(path),
    ]
    for change in changes:
        with pytest.raises(UsageError, match="line 4: "):
            change()
    expect_untouched(path, data)


@pytest.mark.parametrize("user", ["", "lu ke", "lu\tke", "lu\nke", "lu\x1bke", "\udcff", "n" * 65])
def test_a_name_that_cannot_be_one_is_refused(path: Path, user: str) -> None:
    with pytest.raises(UsageError, match="a user name "):
        passwd.set_password(path, user)
    expect_untouched(path)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "at least one character"),
        (b"\n", "at least one character"),
        (b"\r\n", "at least one character"),
        (b"two words\n", "no blanks"),
        (b"so\tlo\n", "no blanks"),
        (b"\xff\n", "not valid UTF-8"),
        (b"p" * (limits.PASSWORD_BYTES_MAX + 1) + b"\n", "a password can have 1024 bytes"),
        (HASH + b"\n", "does not begin with"),
        (b"$argon2id$\n", "not a valid argon2id hash"),
    ],
)
def test_a_password_that_cannot_be_one_is_refused(
    path: Path, pipe: Callable[[bytes], None], data: bytes, error: str
) -> None:
    pipe(data)
    with pytest.raises(UsageError, match=error) as caught:
        passwd.set_password(path, "yoda")
    assert len(str(caught.value).splitlines()) == 1
    expect_untouched(path)


# -- How a password is asked for -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "password"),
    [
        (b"green", "green"),
        (b"green\r\n", "green"),
        (b"green\nmore\n", "green"),
        ("grün\n".encode(), "grün"),
        (b"p" * limits.PASSWORD_BYTES_MAX + b"\n", "p" * limits.PASSWORD_BYTES_MAX),
    ],
)
def test_a_pipe_brings_it_in_its_first_line(
    path: Path, pipe: Callable[[bytes], None], data: bytes, password: str
) -> None:
    pipe(data)
    passwd.set_password(path, "yoda")
    assert read_credentials(path).check("yoda", password)


def test_at_a_terminal_it_is_asked_for_twice(path: Path, terminal: Callable[..., None]) -> None:
    terminal("green", "green")
    passwd.set_password(path, "yoda")
    assert read_credentials(path).check("yoda", "green")


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        (("green", "gren"), "the two passwords differ; nothing was changed"),
        ((EOFError(),), "no password was given; nothing was changed"),
        (("green", EOFError()), "no password was given; nothing was changed"),
        (("\udcff", "\udcff"), "not valid UTF-8; nothing was changed"),
    ],
)
def test_what_goes_wrong_at_a_terminal_changes_nothing(
    path: Path, terminal: Callable[..., None], answers: tuple[str | BaseException], error: str
) -> None:
    terminal(*answers)
    with pytest.raises(UsageError, match=error):
        passwd.set_password(path, "yoda")
    expect_untouched(path)


def test_the_program_takes_it_from_a_pipe(path: Path) -> None:
    done = run_module(
        *("trio_chat.server", "passwd", "yoda", "--credentials", str(path)),
        directory=path.parent,
        text="green\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Changed the password of yoda in {path}.\n"
    assert read_credentials(path).check("yoda", "green")


def test_the_program_does_not_show_what_is_typed(path: Path) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "trio_chat.server", "passwd", "yoda", "--credentials", str(path)],
        env=ENVIRONMENT,
        cwd=str(path.parent),
        timeout=PATIENCE_SECONDS,
    )
    shown = b""
    for prompt in (b"New password: ", b"Once more: "):
        child.expect_exact(prompt)
        shown += child.before
        child.sendline("green")
    child.expect(pexpect.EOF)
    shown += child.before
    child.close()
    assert child.exitstatus == 0
    assert b"green" not in shown
    assert b"Changed the password of yoda" in shown
    assert read_credentials(path).check("yoda", "green")
