"""What may stand on the server's command line; the errors are in `test_cli`."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_chat import limits
from trio_chat.errors import UsageError
from trio_chat.server.options import default_data_dir, parse_arguments


def test_durations_may_have_fractions() -> None:
    parsed = parse_arguments(["65535", "0.5", "1e3"])
    assert (parsed.port, parsed.block_duration, parsed.timeout) == (65535, 0.5, 1000)


def test_what_is_left_out_has_a_value() -> None:
    parsed = parse_arguments(["4000", "60", "600"])
    assert parsed.command == "serve"
    assert parsed.credentials == Path("credentials.txt")
    assert parsed.data_dir == default_data_dir(4000)
    assert (parsed.cert, parsed.key, parsed.plaintext) == (None, None, "loopback")
    assert parsed.connections_per_address == limits.CONNECTIONS_PER_ADDRESS_MAX
    assert parsed.logins_per_minute == limits.LOGINS_PER_MINUTE_MAX
    assert parsed.rate == limits.REQUESTS_PER_SECOND_MAX


def test_limits_are_whole_numbers() -> None:
    options = ["--connections-per-address", "0", "--logins-per-minute", "7", "--rate", "999999999"]
    parsed = parse_arguments(["4000", "60", "600", *options])
    assert parsed.connections_per_address == 0
    assert parsed.logins_per_minute == 7
    assert parsed.rate == 999_999_999


@pytest.mark.parametrize("port", ["0", "65536", "", "x", "00000180000000", "1" + "0" * 5000])
def test_what_is_no_port_is_one_line(port: str) -> None:
    with pytest.raises(UsageError, match="is not a port; give a number from 1 to 65535"):
        parse_arguments([port, "60", "600"])


@pytest.mark.parametrize("option", ["--connections-per-address", "--logins-per-minute", "--rate"])
@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "1e3", "²", "9" * 10, "nan"])
def test_what_is_no_limit_is_one_line(option: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arguments(["4000", "60", "600", option, value])
    error = f"argument {option}: {value!r} is not a whole number; 0 stands for no limit; try "
    assert str(caught.value).startswith(error)


def test_servers_on_different_ports_keep_their_data_apart() -> None:
    assert default_data_dir(4000) != default_data_dir(4001)


@pytest.mark.parametrize(
    ("arguments", "directory"),
    [
        (["4000"], default_data_dir(4000)),
        (["--data-dir", "here"], Path("here")),
    ],
)
def test_a_fingerprint_is_asked_for_by_port_or_directory(
    arguments: list[str], directory: Path
) -> None:
    parsed = parse_arguments(["fingerprint", *arguments])
    assert (parsed.command, parsed.data_dir) == ("fingerprint", directory)


@pytest.mark.parametrize(
    ("arguments", "user", "remove", "hash_all"),
    [
        (["hans"], "hans", None, False),
        (["--remove", "hans"], None, "hans", False),
        (["--hash-all"], None, None, True),
    ],
)
def test_passwd_does_one_of_three_things(
    arguments: list[str], user: str | None, remove: str | None, hash_all: bool
) -> None:
    parsed = parse_arguments(["passwd", *arguments, "--credentials", "accounts"])
    assert (parsed.command, parsed.credentials) == ("passwd", Path("accounts"))
    assert (parsed.user, parsed.remove, parsed.hash_all) == (user, remove, hash_all)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["4000", "60", "600", "--cert", "c.pem"], "--cert and --key go together"),
        (["4000", "60", "600", "--key", "k.pem"], "--cert and --key go together"),
        (["4000", "60", "600", "--plaintext", "sometimes"], "invalid choice: 'sometimes'"),
        (["fingerprint"], "one of the arguments PORT --data-dir is required"),
        (["fingerprint", "0"], "'0' is not a port"),
        (["fingerprint", "4000", "--data-dir", "here"], "not allowed with argument"),
        (["passwd"], "one of the arguments USER --remove --hash-all is required"),
        (["passwd", "hans", "--hash-all"], "not allowed with argument"),
        (["passwd", "hans", "--remove", "yoda"], "not allowed with argument"),
        (["passwd", "hans", "yoda"], "unrecognized arguments: yoda"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments: list[str], error: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arguments(arguments)
    assert error in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).endswith("--help") or "go together" in error


@pytest.mark.parametrize("command", ["backup", "restore"])
@pytest.mark.parametrize(
    ("arguments", "directory"),
    [
        (["4000", "file"], default_data_dir(4000)),
        (["--data-dir", "here", "file"], Path("here")),
        (["file", "--data-dir", "here"], Path("here")),
    ],
)
def test_a_backup_is_of_a_port_or_a_directory(
    command: str, arguments: list[str], directory: Path
) -> None:
    parsed = parse_arguments([command, *arguments])
    assert (parsed.command, parsed.data_dir, parsed.file) == (command, directory, Path("file"))


def test_a_status_is_for_people_unless_asked_otherwise() -> None:
    parsed = parse_arguments(["status", "4000"])
    assert (parsed.data_dir, parsed.json) == (default_data_dir(4000), False)
    assert parse_arguments(["status", "--data-dir", "x", "--json"]).json


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["backup", "4000"], "one of the arguments PORT --data-dir is required"),
        (["backup", "--data-dir", "x"], "the following arguments are required: FILE"),
        (["backup", "--data-dir", "x", "4000", "file"], "not allowed with argument --data-dir"),
        (["restore", "4000", "file", "--hash", "12"], "'12' is not a SHA-256; give 64 hexa"),
        (["status"], "one of the arguments PORT --data-dir is required"),
        (["status", "4000", "more"], "unrecognized arguments: more"),
        (["4000", "60", "600", "--log-format", "xml"], "invalid choice: 'xml'"),
    ],
)
def test_what_is_wrong_with_a_command_is_one_line(arguments: list[str], error: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arguments(arguments)
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)
