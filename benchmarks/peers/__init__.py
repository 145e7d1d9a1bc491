"""The servers that are compared: one module for each protocol, with its clients and its servers.

A `Peer` says how a server is started, with a configuration of its own, and what it promises.
To add one is to add a class to the module of its protocol and a row to `benchmarks.compare`.
"""

from __future__ import annotations

import abc
import shutil
import ssl
from typing import ClassVar

from ..load import Client
from ..server_process import Process


class Peer(abc.ABC):
    """One kind of server; a subclass for each.

    Attributes:
        name: for people.
        program: what must be installed.
        client: speaks its protocol.
        encrypts: whether the connections are encrypted here.
        acknowledges: what an answer to the sender means.
        keeps: whether messages for somebody offline are kept.
        crowd_max: how many it lets into its room in reasonable time.
        idle_max: how many connections it takes in reasonable time.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    client: ClassVar[type[Client]]
    encrypts: ClassVar[bool] = False
    acknowledges: ClassVar[str] = "nothing"
    keeps: ClassVar[bool] = False
    crowd_max: ClassVar[int] = 10_000
    idle_max: ClassVar[int] = 10_000

    @classmethod
    def is_installed(cls) -> bool:
        """Whether the program is there."""
        return shutil.which(cls.program) is not None

    @classmethod
    @abc.abstractmethod
    def start(cls, users: int, cpu: int) -> Process:
        """A server with accounts for so many users; not started yet."""

    @classmethod  # noqa: B027  # most have nothing to do
    def prepare(cls, process: Process, users: int) -> None:
        """What is to be done after its start, such as to make accounts."""

    @classmethod
    def context(cls) -> ssl.SSLContext | None:
        """What clients encrypt with."""
        return None
