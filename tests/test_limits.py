"""The bounds: each is documented, names its unit, and fits the others."""

import ast
import inspect
from itertools import pairwise

import pytest

from trio_chat import limits
from trio_chat.protocol.framing import encode_line
from trio_chat.protocol.messages import Delivery, Login, Message

NAMES = [name for name in vars(limits) if name.isupper()]
WIDE = "\x01"  # six bytes in JSON for one in UTF-8


@pytest.mark.parametrize("name", NAMES)
def test_every_bound_is_positive_and_names_its_unit(name: str) -> None:
    assert getattr(limits, name) > 0
    assert name.endswith(("_MAX", "_SECONDS"))


def test_every_bound_has_its_reason_beside_it() -> None:
    body = ast.parse(inspect.getsource(limits)).body
    for statement, next_one in pairwise(body):
        if isinstance(statement, ast.Assign):
            assert isinstance(next_one, ast.Expr) and isinstance(next_one.value, ast.Constant)


def test_the_longest_message_fits_a_line_on_its_way_in_and_out() -> None:
    name, text = WIDE * limits.NAME_BYTES_MAX, WIDE * limits.TEXT_BYTES_MAX
    client = WIDE * limits.CLIENT_ID_CHARACTERS_MAX
    most = limits.INTEGER_MAX
    for message in (Message(most, name, text), Delivery(most, name, client, most, text)):
        assert len(encode_line(message)) < limits.LINE_BYTES_MAX


def test_the_longest_login_fits_its_line() -> None:
    login = Login(
        limits.INTEGER_MAX, WIDE * limits.NAME_BYTES_MAX, WIDE * limits.PASSWORD_BYTES_MAX
    )
    assert len(encode_line(login)) < limits.LOGIN_LINE_BYTES_MAX
