"""The closed set of commands, and the names of connections."""

from typing import get_args

from trio_chat.core.broker import Broker
from trio_chat.core.commands import NOBODY, Command, session_id, session_name


def test_session_ids_of_different_servers_and_connections_differ() -> None:
    ids = {session_id(node, count) for node in range(3) for count in range(1, 4)}
    assert len(ids) == 9
    assert NOBODY not in ids


def test_session_ids_have_a_name_for_people() -> None:
    assert session_name(session_id(3, 12)) == "3.12"


def test_every_command_has_a_handler() -> None:
    assert set(Broker._COMMANDS) == set(get_args(Command))
