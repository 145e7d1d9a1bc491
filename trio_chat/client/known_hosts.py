"""The servers that this user has met, and by which fingerprint each is known.

As with ssh: the first connection to a server is taken on trust and remembered; if another
fingerprint shows up later, either the server was set up anew or somebody listens in, and only
a person can tell which. So the client stops then, and says what to do. That holds for as long
as it runs even if the file can't be written, or is changed meanwhile: who answers after a
connection was lost is the one that was there before.

One line for each server: its address, a blank, its fingerprint.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import FailureError
from ..private_files import make_private_directory, open_private
from ..text import BOM

FILE_NAME = "known_hosts"


class HostChangedError(FailureError):
    """A server is not the one that was known under its address."""


class KnownHosts:
    """Who was met in this run, and before it as the file says, which several clients may share.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._met: dict[str, str] = {}

    def meet(self, server: str, fingerprint: str) -> str | None:
        """Recognise a server, or remember it if it is new.

        Args:
            server: its address, as the person knows it.
            fingerprint: what it has shown.

        Returns:
            What to tell the person about a new server; None if it is known.

        Raises:
            HostChangedError: if it is known by another fingerprint.
            FailureError: if the file is there and can't be read.
        """
        known = self._met.get(server) or self._read().get(server)
        if known is not None and known != fingerprint:
            raise HostChangedError(
                f"The server at {server} is not the one that it was: it shows {fingerprint}, but is"
                f" known as {known}. Somebody may be listening in, or it was set up anew. Ask its"
                " operator, who sees the right one with 'trio-chat-server fingerprint'; if the new"
                f" one is right, remove the line of {server} from {self.path} and connect again."
            )
        self._met[server] = fingerprint
        if known is not None:
            return None
        notice = f"First connection to {server}, whose fingerprint is {fingerprint}."
        try:
            self._append(server, fingerprint)
        except OSError as error:
            return f"{notice} It can't be remembered in {self.path} ({error.strerror})."
        return f"{notice} It is remembered from now on."

    def _read(self) -> dict[str, str]:
        try:
            text = self.path.read_text("utf-8", errors="replace").removeprefix(BOM)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:  # what is written there must not be passed over
            raise FailureError(f"Cannot read {self.path}: {error.strerror}") from error
        lines = text.splitlines()
        return {words[0]: words[1] for line in lines if len(words := line.split()) == 2}

    def _append(self, server: str, fingerprint: str) -> None:
        make_private_directory(self.path.parent)
        file = open_private(self.path, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            if self._is_cut():
                stream.write("\n")
            stream.write(f"{server} {fingerprint}\n")

    def _is_cut(self) -> bool:
        data = self.path.read_bytes()
        return data != b"" and not data.endswith(b"\n")
