"""What the person does with files: register, search, download, and see how far it is.

Each download is a task of its own. What comes of it is shown in the person's terminal, and how
far it is on the board.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio

from ... import limits
from ...errors import ErrorCode
from ...protocol import messages as wire
from ...swarm.manifest import Manifest
from ...swarm.pieces import PieceSet
from ..connection import ConnectionLost
from ..meanings import UNNUMBERED
from ..notice import Notice
from ..render import info, no_server, refused
from ..status import Board
from ..terminal import Terminal, TerminalGone
from . import render
from .disk import BusyError, DiskError, hash_file
from .downloads import Downloads, Linked
from .job import Request
from .places import Places
from .search import Ask
from .serving import Serving
from .shelf import Held, Shelf
from .sources import Connect
from .throttle import Throttle

STATUS_SECONDS = 0.25
"""How often the board is told."""

STATUS_LINE_SECONDS = 5.0
"""How often a script is."""

TELL_AGAIN_SECONDS = 10.0
"""When to tell the server again what it could not take, if nothing new is to be told sooner."""

_PASSING = (ErrorCode.BUSY, ErrorCode.NOT_STORED)


class FileOptions:
    """What the person has decided about files.

    Attributes:
        directory: where downloads go.
        upload_rate, download_rate: bytes per second; none for no limit.
    """

    def __init__(
        self,
        directory: Path,
        upload_rate: float | None = None,
        download_rate: float | None = None,
    ) -> None:
        self.directory = directory
        self.upload_rate = upload_rate
        self.download_rate = download_rate


class Transfers:
    """All files of a client; `run` must run while they are used.

    Attributes:
        serving: answers those who fetch from us.
        terminal_gone: set when nobody can read what is shown, and all should end.

    Args:
        terminal: of the person.
        board: is told how far all is.
        options: what they have decided.
        shelf: the files that are served.
        ask: asks the server.
        connect: connects to a user who serves.
    """

    def __init__(
        self,
        terminal: Terminal,
        board: Board,
        options: FileOptions,
        shelf: Shelf,
        ask: Ask,
        connect: Connect,
    ) -> None:
        self.serving = Serving(
            shelf,
            Throttle(options.upload_rate),
            self._not_served,
            self._suggest,
            self._user_has,
        )
        self.terminal_gone = trio.Event()
        self._terminal = terminal
        self._board = board
        self._shelf = shelf
        self._ask = ask
        self._places = Places()
        self._reading_turns = trio.CapacityLimiter(limits.READINGS_ACTIVE_MAX)
        self._readings: dict[Path, Notice] = {}  # what is hashed now, and how far that is
        self._untold: dict[tuple[bytes, str], Manifest] = {}
        self._has_news = trio.Event()
        self._downloads = Downloads(
            options.directory.absolute(),  # as it is remembered where files lie
            shelf,
            self.serving,
            ask,
            connect,
            Throttle(options.download_rate),
            self._places,
            self._show,
            self._tell,
            self._tell_board,
        )
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run downloads until cancelled."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._tell_server)
            self._nursery.start_soon(self._show_status)
            await self._nursery.start(self._downloads.run)
            task_status.started()
            await trio.sleep_forever()

    @property
    def is_used(self) -> bool:
        """Whether anything is on its way, here or to somebody else."""
        return self.serving.is_used or self._downloads.is_used

    async def wait_all_done(self) -> None:
        """Wait until all registrations and downloads have ended."""
        await self._places.wait_all_free()

    async def wait_unused(self) -> None:
        """Wait until nothing is on its way."""
        while self.is_used:
            await self._places.wait_all_free()
            await self.serving.wait_unused()

    @property
    def names(self) -> set[str]:
        """The files that are served, or were asked for."""
        return {*self._downloads.names, *(held.manifest.name for held in self._shelf)}

    def log_in(self, user: str) -> None:
        """Tell the server what we serve, after each login."""
        self._downloads.user = user
        for held in self._shelf:
            self._tell(held.manifest)

    # -- Register --------------------------------------------------------------------------

    async def register(self, path: Path) -> None:
        """Begin to share a file: hash it, tell the server, and serve it from then on."""
        assert self._nursery is not None
        await self._places.take()
        self._nursery.start_soon(self._register, path)

    async def _register(self, path: Path) -> None:
        await self._show([await self._share(path)])
        await self._show_notice()
        self._places.give_back()

    async def _share(self, path: Path) -> Notice:
        """Do it; return what to show."""
        progress = _Progress(partial(self._has_read, path))
        try:
            manifest, leaves, version = await trio.to_thread.run_sync(
                hash_file, path, progress.tell_from_thread, limiter=self._reading_turns
            )
        except DiskError as error:
            return render.not_registered(str(error))
        finally:
            self._readings.pop(path, None)
            self._tell_board()
        held = Held(leaves, path, version, PieceSet.full(manifest.pieces))
        try:
            reply = await self._ask(_registration(manifest, held, replace=True))
        except ConnectionLost:
            return no_server("register")
        if isinstance(reply, wire.Registered):
            self._forget(manifest.name, manifest.root)
            self._shelf.put(held)
            return render.registered(manifest, new=reply.new)
        assert isinstance(reply, wire.Error)
        return refused(reply, "register")

    async def unregister(self, name: str) -> None:
        """Begin to give a file's name up, and serve the file no longer."""
        assert self._nursery is not None
        await self._places.take()
        self._nursery.start_soon(self._give_up, name)

    async def _give_up(self, name: str) -> None:
        await self._show([await self._unshare(name)])
        self._places.give_back()

    async def _unshare(self, name: str) -> Notice:
        if self._downloads.is_fetching(name):
            return render.still_downloading(name)
        try:
            reply = await self._ask(wire.Unregister(UNNUMBERED, name))
        except ConnectionLost:
            return no_server("unregister")
        if isinstance(reply, wire.Ok) or self._forget(name):
            self._forget(name)
            return render.unregistered(name)
        assert isinstance(reply, wire.Error)
        return refused(reply, "unregister")

    def _forget(self, name: str, root: bytes = b"") -> bool:
        """Serve nothing of this name any more, but for the file with this root.

        Returns:
            Whether there was anything.
        """
        others = [
            held
            for held in self._shelf
            if held.manifest.name == name and held.manifest.root != root
        ]
        for held in others:
            self._shelf.remove(held)
            if self._shelf.get(held.manifest.root) is None:
                self.serving.forget(held.manifest.root)
        return bool(others)

    # -- Download --------------------------------------------------------------------------

    async def download(self, name: str) -> None:
        """Begin to fetch a file from all who hold it."""
        await self._downloads.begin(Request(name))

    async def download_chunks(
        self, user: str, name: str, chunks: str, linked: Linked | None = None
    ) -> None:
        """Begin to fetch chunks of a file from one user.

        Args:
            user: who has them.
            name: of the file.
            chunks: which they are.
            linked: waits for a link to the user that is on its way, without which they are
                not fetched.
        """
        await self._downloads.begin(Request(name, chunks, user), linked)

    async def cancel(self, name: str) -> None:
        """Give up all that was asked for of a file; what is here of it stays."""
        await self._downloads.cancel(name)

    async def show_list(self) -> None:
        """Show what runs and what is done, and how much was sent to others."""
        jobs = self._downloads.describe()
        sent = render.sent_to_others(self.serving.sent_bytes)
        await self._show([*(jobs or [render.no_downloads()]), sent])

    def _suggest(self, root: bytes, user: str) -> bool:
        return self._downloads.suggest(root, user)

    def _user_has(self, root: bytes, user: str, piece: int) -> None:
        self._downloads.user_has(root, user, piece)

    # -- What the server must know ---------------------------------------------------------

    def _tell(self, manifest: Manifest) -> None:
        """What we have of a file is not what the server knows."""
        self._untold[manifest.root, manifest.name] = manifest
        self._has_news.set()

    async def _tell_server(self) -> None:
        later: dict[tuple[bytes, str], Manifest] = {}
        while True:
            with trio.move_on_after(TELL_AGAIN_SECONDS if later else math.inf):
                await self._has_news.wait()
            self._has_news = trio.Event()
            self._untold.update(later)
            later.clear()
            while self._untold:
                (root, name), manifest = self._untold.popitem()
                held, fetching = self._shelf.get(root), root in self._downloads.fetching
                try:
                    reply = await self._ask(_registration(manifest, held, fetching=fetching))
                except ConnectionLost:
                    self._untold.clear()  # the session is over
                    continue
                if isinstance(reply, wire.Error) and reply.code in _PASSING:
                    later[root, name] = manifest

    def _not_served(self, held: Held, error: DiskError) -> bool:
        """A file could not be read; return whether its bytes are not served any more."""
        root = held.manifest.root
        is_being_named = held.version is None and root in self._downloads.fetching
        if isinstance(error, BusyError) or is_being_named:
            return False  # it can be read later; in the latter case it is just getting its name
        if held in self._shelf.all_of(root):
            assert self._nursery is not None
            self._shelf.remove(held)
            self._nursery.start_soon(self._unregister, held, error)
        if self._shelf.get(root) is not None:
            return False
        self.serving.forget(root)
        return True

    async def _unregister(self, held: Held, error: DiskError) -> None:
        """The server must not send anybody to us any more for a file."""
        await self._show([render.not_shared(held.manifest.name, str(error))])
        with suppress(ConnectionLost):
            await self._ask(wire.Register(UNNUMBERED, _file(held.manifest), ()))

    # -- What the person sees --------------------------------------------------------------

    async def _show_notice(self) -> None:
        notice, self._shelf.notice = self._shelf.notice, None
        if notice is not None:
            await self._show([info(notice)])

    async def _show(self, notices: Sequence[Notice]) -> None:
        try:
            await self._terminal.show(notices)
        except TerminalGone:
            self.terminal_gone.set()
            await trio.sleep_forever()

    async def _show_status(self) -> None:
        """Keep the board true; a script gets lines now and then."""
        seconds = STATUS_SECONDS if self._terminal.interactive else STATUS_LINE_SECONDS
        shown: list[Notice] = []
        while True:
            await trio.sleep(seconds)
            self._tell_board()
            notices = self._downloads.describe_running()
            if notices and notices != shown and not self._terminal.interactive:
                await self._show(notices)
            shown = notices

    def _tell_board(self) -> None:
        running = self._downloads.describe_running()
        self._board.update(transfers=(*running, *self._readings.values()))

    def _has_read(self, path: Path, done: float) -> None:
        self._readings[path] = render.reading(path.name, done)
        self._tell_board()


class _Progress:
    """Tells now and then how far something is that a worker thread does."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._told_at = time.monotonic()

    def tell_from_thread(self, done: int, size: int) -> None:
        trio.from_thread.check_cancelled()  # a large file must keep nobody waiting
        now = time.monotonic()
        if now - self._told_at >= STATUS_SECONDS:
            self._told_at = now
            trio.from_thread.run_sync(self._tell, done / size)


def _registration(
    manifest: Manifest, held: Held | None, *, fetching: bool = False, replace: bool = False
) -> wire.Register:
    chunks = () if held is None else held.chunks
    return wire.Register(UNNUMBERED, _file(manifest), chunks, fetching, replace)


def _file(manifest: Manifest) -> wire.File:
    return wire.File(
        manifest.name, manifest.size, manifest.chunks, manifest.piece_bytes, manifest.root
    )
