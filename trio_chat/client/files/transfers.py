"""What the person does with files: register, search, download, and see how far it is.

Each download is a task of its own. What comes of it is shown in the person's terminal, and how
far it is on the board.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import trio

from ... import limits
from ...errors import ErrorCode
from ...protocol import messages as wire
from ...swarm.manifest import Manifest, parse_chunks
from ...swarm.pieces import PieceSet
from ..connection import ConnectionLost
from ..meanings import UNNUMBERED, Numbered
from ..notice import Notice
from ..render import info, no_server, private_not_enabled, refused
from ..status import Board
from ..terminal import Terminal, TerminalGone
from . import render
from .disk import BusyError, DiskError, PartFile, hash_file, version_of
from .fetch import Connect, Fetch, FetchError
from .job import Job
from .serving import Serving
from .shelf import Held, Shelf
from .throttle import Throttle

STATUS_SECONDS = 0.25
"""How often the board is told."""

STATUS_LINE_SECONDS = 5.0
"""How often a script is."""

TELL_AGAIN_SECONDS = 10.0
"""When to tell the server again what it could not take, if nothing new is to be told sooner."""

_PASSING = (ErrorCode.BUSY, ErrorCode.NOT_STORED)

Ask = Callable[[Numbered], Awaitable[wire.Reply]]
"""Sends a request to the server, and returns its reply, which nobody has shown."""


Linked = Callable[[], Awaitable[bool]]
"""Waits for a private link that is on its way; tells whether there is one then."""


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
            shelf, Throttle(options.upload_rate), self._not_served, self._suggest, self._user_has
        )
        self.terminal_gone = trio.Event()
        self._terminal = terminal
        self._board = board
        self._directory = options.directory.absolute()  # as it is remembered where files lie
        self._throttle = Throttle(options.download_rate)
        self._shelf = shelf
        self._ask = ask
        self._connect = connect
        self._user = ""
        self._jobs: dict[str, Job] = {}
        self._places = trio.Semaphore(limits.TRANSFERS_MAX)
        self._ended = trio.Event()  # a registration or a download
        self._fetching_turns = trio.CapacityLimiter(limits.DOWNLOADS_ACTIVE_MAX)
        self._reading_turns = trio.CapacityLimiter(limits.READINGS_ACTIVE_MAX)
        self._readings: dict[Path, Notice] = {}  # what is hashed now, and how far that is
        self._untold: dict[tuple[bytes, str], Manifest] = {}
        self._fetching: set[bytes] = set()
        self._has_news = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run downloads until cancelled."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._tell_server)
            self._nursery.start_soon(self._show_status)
            task_status.started()
            await trio.sleep_forever()

    @property
    def is_used(self) -> bool:
        """Whether anything is on its way, here or to somebody else."""
        return self.serving.is_used or any(not job.done.is_set() for job in self._jobs.values())

    async def wait_all_done(self) -> None:
        """Wait until all registrations and downloads have ended."""
        while self._places.value < limits.TRANSFERS_MAX:
            await self._ended.wait()

    async def wait_unused(self) -> None:
        """Wait until nothing is on its way."""
        while self.is_used:
            for job in list(self._jobs.values()):
                await job.done.wait()
            await self.serving.wait_unused()

    async def _wait_for_place(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()  # the nursery has ended then
        await self._places.acquire()

    def _end(self) -> None:
        self._places.release()
        self._ended.set()
        self._ended = trio.Event()

    def log_in(self, user: str) -> None:
        """Tell the server what we serve, after each login."""
        self._user = user
        for held in self._shelf:
            self._tell(held.manifest)

    # -- Register --------------------------------------------------------------------------

    async def register(self, path: Path) -> None:
        """Begin to share a file: hash it, tell the server, and serve it from then on."""
        assert self._nursery is not None
        await self._wait_for_place()
        self._nursery.start_soon(self._register, path)

    async def _register(self, path: Path) -> None:
        await self._show([await self._share(path)])
        await self._show_notice()
        self._end()

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
            reply = await self._ask(_registration(manifest, held))
        except ConnectionLost:
            return no_server("register")
        if isinstance(reply, wire.Registered):
            self._shelf.put(held)
            return render.registered(manifest, new=reply.new)
        assert isinstance(reply, wire.Error)
        return refused(reply, "register")

    # -- Download --------------------------------------------------------------------------

    async def download(self, name: str) -> None:
        """Begin to fetch a file from all who hold it."""
        await self._begin(name, None, "")

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
        await self._begin(name, chunks, user, linked)

    async def cancel(self, name: str) -> None:
        """Give a download up; what is here of it stays."""
        job = self._jobs.get(name)
        if job is None or job.is_ending:
            await self._show([render.not_downloading(name)])
        else:
            job.life.cancel()

    async def show_list(self) -> None:
        """Show what runs and what is done, and how much was sent to others."""
        jobs = [job.describe() for job in self._jobs.values()]
        sent = render.sent_to_others(self.serving.sent_bytes)
        await self._show([*(jobs or [render.no_downloads()]), sent])

    async def _begin(
        self, name: str, chunks: str | None, user: str, linked: Linked | None = None
    ) -> None:
        assert self._nursery is not None
        known = self._jobs.get(name)
        if known is not None and not known.is_ending:
            await self._show([render.already_downloading(name)])
            return
        await self._wait_for_place()
        before = self._jobs.pop(name, None)  # one that was cancelled may be still ending
        job = self._jobs[name] = Job(name, None if before is None else before.done)
        self._nursery.start_soon(self._run_job, job, chunks, user, linked)

    async def _run_job(
        self, job: Job, chunks: str | None, user: str, linked: Linked | None
    ) -> None:
        outcome = render.download_cancelled(job.name)
        with job.life:
            try:
                if job.before is not None:
                    await job.before.wait()
                if linked is not None and not await linked():
                    outcome = private_not_enabled(user)
                else:
                    async with self._fetching_turns:
                        outcome = await self._fetch(job, chunks, user)
            except (FetchError, DiskError) as error:
                job.state = "failed"
                outcome = render.download_failed(job.name, str(error))
        if job.life.cancelled_caught:
            job.state = "cancelled"
        job.fetch = None
        self._tell_board()
        await self._show([outcome])
        job.done.set()
        self._end()

    async def _fetch(self, job: Job, chunks_text: str | None, user: str) -> Notice:
        job.state = "looking for it"
        manifest, holders = await self._search(job.name)
        if chunks_text is None:
            chunks = tuple(range(1, manifest.chunks + 1))
        else:
            chunks = _parse_chunks(chunks_text, manifest)
            holding: tuple[int, ...] = dict(holders).get(user, ())
            if not set(chunks) <= set(holding):
                raise FetchError(f"{user} does not have that")
        self._check_wanted(manifest)
        with closing(PartFile(self._directory, manifest, self._user)) as part:
            if part.is_new:
                self._forget_parts(manifest.root)

            async def find() -> list[str]:
                try:
                    _, found = await self._search(job.name)
                except FetchError:
                    return []
                return [name for name, _ in found]

            fetch = job.fetch = Fetch(
                manifest,
                chunks,
                part,
                self._shelf,
                self.serving,
                self._connect,
                [name for name, _ in holders],
                find,
                lambda other: other == user if user else other != self._user,
                lambda: self._tell(manifest),
                lambda liar: self._tell_of_liar(job, liar),
                self._throttle,
            )
            job.state = "downloading"
            self._fetching.add(manifest.root)
            self._tell(manifest)
            try:
                await fetch.run()
                if fetch.has_all:
                    path, version = await trio.to_thread.run_sync(part.finish)
                    assert fetch.held is not None
                    self._shelf.put(Held(fetch.held.leaves, path, version, fetch.held.have))
            finally:
                self._fetching.discard(manifest.root)
                self._tell(manifest)
        await self._show_notice()
        job.state = "complete"
        seconds = trio.current_time() - job.started
        if chunks_text is not None:
            return render.chunks_downloaded(manifest, chunks, user)
        return render.downloaded(manifest, path, seconds, fetch.received_bytes)

    def _check_wanted(self, manifest: Manifest) -> None:
        """See that a file is not here or on its way.

        Raises:
            FetchError: if it is.
        """
        if manifest.root in self._fetching:
            raise FetchError("the same bytes are being downloaded under another name")
        for held in self._shelf.all_of(manifest.root):
            if held.version is None:
                continue  # it is served on while it is verified
            if version_of(held.path) == held.version:
                raise FetchError(f"you have it already: {held.path}")
            self._shelf.remove(held)

    def _forget_parts(self, root: bytes) -> None:
        """What was here of a file in part is gone: what lies there now would be a lie."""
        for held in self._shelf.all_of(root):
            if held.version is None:
                self._shelf.remove(held)

    async def _search(self, name: str) -> tuple[Manifest, list[tuple[str, tuple[int, ...]]]]:
        """What the server knows of a file.

        Raises:
            FetchError: if that is nothing.
        """
        try:
            reply = await self._ask(wire.Search(UNNUMBERED, name, fetchers=True))
        except ConnectionLost:
            raise FetchError("there is no connection to the server") from None
        if isinstance(reply, wire.Error):
            raise FetchError(reply.text)
        if not isinstance(reply, wire.Found) or reply.file is None:
            raise FetchError("Not available")
        file = reply.file
        try:
            manifest = Manifest(
                name=file.name,
                size=file.size,
                chunks=file.chunks,
                piece_bytes=file.piece_bytes,
                root=file.root,
            )
        except ValueError as error:
            raise FetchError(f"what the server says of it makes no sense ({error})") from None
        if manifest.name != name:
            raise FetchError("the server has found another file")
        return manifest, [(holder.user, holder.chunks) for holder in reply.holders]

    def _suggest(self, root: bytes, user: str) -> bool:
        """Who fetches a file from us has some of it too, or will have soon."""
        for job in self._jobs.values():
            if job.fetch is not None and job.fetch.manifest.root == root:
                job.fetch.suggest(user)
                return True
        return False

    def _user_has(self, root: bytes, user: str, piece: int) -> None:
        """Who fetches a file from us has one more piece of it."""
        for job in self._jobs.values():
            if job.fetch is not None and job.fetch.manifest.root == root:
                job.fetch.user_has(user, piece)

    def _tell_of_liar(self, job: Job, user: str) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._show, [render.sends_wrong_bytes(job.name, user)])

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
                held, fetching = self._shelf.get(root), root in self._fetching
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
        if isinstance(error, BusyError) or (held.version is None and root in self._fetching):
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
            notices = self._describe_running()
            if notices and notices != shown and not self._terminal.interactive:
                await self._show(notices)
            shown = notices

    def _tell_board(self) -> None:
        self._board.update(transfers=(*self._describe_running(), *self._readings.values()))

    def _has_read(self, path: Path, done: float) -> None:
        self._readings[path] = render.reading(path.name, done)
        self._tell_board()

    def _describe_running(self) -> list[Notice]:
        return [job.describe() for job in self._jobs.values() if job.fetch is not None]


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


def _parse_chunks(text: str, manifest: Manifest) -> tuple[int, ...]:
    try:
        return parse_chunks(text, manifest.chunks)
    except ValueError as error:
        raise FetchError(str(error)) from None


def _registration(
    manifest: Manifest, held: Held | None, *, fetching: bool = False
) -> wire.Register:
    chunks = () if held is None else held.chunks
    return wire.Register(UNNUMBERED, _file(manifest), chunks, fetching)


def _file(manifest: Manifest) -> wire.File:
    return wire.File(
        manifest.name, manifest.size, manifest.chunks, manifest.piece_bytes, manifest.root
    )
