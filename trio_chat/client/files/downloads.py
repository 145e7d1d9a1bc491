"""The files that the person has asked for: what is fetched for whom, and what comes of it.

Theory of operation: each request is a task of its own, which asks the server, then waits for what
it wants. All requests for one file share one fetch, which is another task. So chunks that were
asked of several users come side by side, and a download of the whole joins them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import trio

from ... import limits
from ...swarm.manifest import Manifest, parse_chunks
from ..notice import Notice
from ..render import private_not_enabled
from . import render
from .disk import DiskError, PartFile, version_of
from .fetch import Fetch, FetchError
from .holders import Holding
from .job import Job, Request
from .places import Places
from .search import Ask, NoAnswerError, search
from .serving import Serving
from .shelf import Held, Shelf
from .sources import Connect
from .throttle import Throttle
from .want import Want

Linked = Callable[[], Awaitable[bool]]
"""Waits for a private link that is on its way; tells whether there is one then."""

Show = Callable[[Sequence[Notice]], Awaitable[None]]


class Downloads:
    """All downloads of a client; `run` must run while they are used.

    Attributes:
        user: who is logged in.
        fetching: the roots of what is on its way.

    Args:
        directory: where downloads go.
        shelf: the files that are served.
        serving: answers those who fetch from us.
        ask: asks the server.
        connect: connects to a user who serves.
        throttle: the limit on what is received.
        places: one is taken for each request.
        show: shows notices to the person.
        tell: called with a file of which we have more or less than the server knows.
        changed: called when the board is not true any more.
    """

    def __init__(
        self,
        directory: Path,
        shelf: Shelf,
        serving: Serving,
        ask: Ask,
        connect: Connect,
        throttle: Throttle,
        places: Places,
        show: Show,
        tell: Callable[[Manifest], None],
        changed: Callable[[], None],
    ) -> None:
        self.user = ""
        self.fetching: set[bytes] = set()
        self._directory = directory
        self._shelf = shelf
        self._serving = serving
        self._ask = ask
        self._connect = connect
        self._throttle = throttle
        self._places = places
        self._show = show
        self._tell = tell
        self._changed = changed
        self._jobs: dict[str, Job] = {}
        self._turns = trio.CapacityLimiter(limits.DOWNLOADS_ACTIVE_MAX)
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run downloads until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    @property
    def is_used(self) -> bool:
        """Whether anything was asked for that is not answered."""
        return any(job.requests for job in self._jobs.values())

    @property
    def names(self) -> list[str]:
        """The files that were asked for."""
        return list(self._jobs)

    def is_fetching(self, name: str) -> bool:
        """Whether a file is on its way here."""
        job = self._jobs.get(name)
        return job is not None and not job.is_over

    def describe(self) -> list[Notice]:
        """How far all is, and how what is over has ended."""
        return [job.describe() for job in self._jobs.values()]

    def describe_running(self) -> list[Notice]:
        """How far that is which is under way."""
        return [job.describe() for job in self._jobs.values() if job.is_fetching]

    # -- What the person wants -------------------------------------------------------------

    async def begin(self, request: Request, linked: Linked | None = None) -> None:
        """Begin to fetch something; what comes of it is shown.

        Args:
            request: what it is.
            linked: waits for a link to its user that is on its way, without which it is not
                fetched.
        """
        assert self._nursery is not None
        known = self._jobs.get(request.name)
        if known is not None and known.is_wanted_as_a_whole and request.chunks is None:
            await self._show([render.already_downloading(request.name)])
            return
        await self._places.take()
        job = self._job(request.name)
        job.requests.append(request)
        self._nursery.start_soon(self._answer, job, request, linked)

    async def cancel(self, name: str) -> None:
        """Give up all that was asked for of a file; what is here of it stays."""
        job = self._jobs.get(name)
        if job is None or job.is_over:
            await self._show([render.not_downloading(name)])
            return
        job.is_given_up = True
        job.life.cancel()
        for request in job.requests:
            request.life.cancel()

    def _job(self, name: str) -> Job:
        """The one that a new request belongs to."""
        job = self._jobs.get(name)
        if job is None or job.is_over:
            self._jobs.pop(name, None)  # the new one stands last in the list
            job = self._jobs[name] = Job(name, None if job is None else job.closed)
        return job

    # -- One request -----------------------------------------------------------------------

    async def _answer(self, job: Job, request: Request, linked: Linked | None) -> None:
        state, outcome = "cancelled", render.download_cancelled(request.name, request.chunks)
        with request.life:
            try:
                if linked is not None and not await linked():
                    state, outcome = "failed", private_not_enabled(request.user)
                else:
                    state, outcome = await self._get(job, request)
            except FetchError as error:
                state, outcome = "failed", render.download_failed(request.name, str(error))
        job.state = state
        await self._show([outcome])
        if job.is_given_up or job.is_complete:
            await job.closed.wait()
        job.requests.remove(request)
        self._changed()
        self._places.give_back()

    async def _get(self, job: Job, request: Request) -> tuple[str, Notice]:
        """Fetch what was asked for.

        Returns:
            How the job is then, and what to show.

        Raises:
            FetchError: if it can't be had.
        """
        job.state = "looking for it"
        manifest, holders = await search(self._ask, request.name)
        if job.before is not None:
            await job.before.wait()
        is_whole = request.chunks is None
        chunks = tuple(range(1, manifest.chunks + 1))
        if request.chunks is not None:
            chunks = _parse_chunks(request.chunks, manifest)
        complete = self._complete(manifest.root)
        if complete is not None and is_whole:
            raise FetchError(f"you have it already: {complete.path}")
        if complete is not None:
            return "chunks complete", render.chunks_here(manifest, chunks)
        if request.user and not self._may_have(request.user, chunks, manifest, holders):
            raise FetchError(f"{request.user} does not have that")
        want = Want(chunks, request.user)
        fetch = await self._fetch(job, manifest, want, holders)
        await want.settled.wait()
        if want.failure is not None:
            if is_whole:
                raise FetchError(want.failure)
            return "failed", render.chunks_failed(manifest, chunks, want.failure)
        if is_whole:
            assert job.path is not None
            seconds = trio.current_time() - request.started
            notice = render.downloaded(manifest, job.path, seconds, fetch.received_bytes)
            return "complete", notice
        if want.was_here:
            return "chunks complete", render.chunks_here(manifest, chunks)
        senders = sorted(want.senders) or [request.user]
        return "chunks complete", render.chunks_downloaded(manifest, chunks, senders)

    def _complete(self, root: bytes) -> Held | None:
        """A file that is here as a whole; what has changed is not served any more."""
        for held in self._shelf.all_of(root):
            if held.version is None:
                continue  # it is served on while it is verified
            if version_of(held.path) == held.version:
                return held
            self._shelf.remove(held)
        return None

    def _may_have(
        self, user: str, chunks: Sequence[int], manifest: Manifest, holders: Sequence[Holding]
    ) -> bool:
        """Whether chunks may come from a user, or be here already."""
        held = self._shelf.get(manifest.root)
        ours = () if held is None else held.chunks
        return set(chunks) <= set(dict(holders).get(user, ())) or set(chunks) <= set(ours)

    # -- The fetch of a file, for all requests ---------------------------------------------

    async def _fetch(
        self, job: Job, manifest: Manifest, want: Want, holders: Sequence[Holding]
    ) -> Fetch:
        """Have something fetched together with all else that is wanted of a file."""
        while True:
            fetch = job.fetch or self._open(job, manifest)
            if fetch.manifest.root != manifest.root:
                raise FetchError("another file of that name is being downloaded; 'cancel' ends it")
            if fetch.want(want, holders):
                return fetch
            await job.closed.wait()  # it is just ending

    def _open(self, job: Job, manifest: Manifest) -> Fetch:
        assert self._nursery is not None
        if manifest.root in self.fetching:
            raise FetchError("the same bytes are being downloaded under another name")

        async def find() -> list[Holding] | None:
            try:
                known, found = await search(self._ask, job.name)
            except NoAnswerError:
                return None
            except FetchError:
                return []
            if known.root != manifest.root:
                fetch.outdate()
                return []
            return found

        fetch = job.fetch = Fetch(
            manifest,
            self.user,
            self._shelf,
            self._serving,
            self._connect,
            find,
            lambda: self._tell(manifest),
            lambda liar: self._say(render.sends_wrong_bytes(job.name, liar)),
            lambda text: self._say(render.news_of_holders(job.name, text)),
            self._throttle,
        )
        job.closed, job.life = trio.Event(), trio.CancelScope()
        job.state = "waiting"
        self.fetching.add(manifest.root)
        self._nursery.start_soon(self._run_fetch, job, fetch)
        return fetch

    async def _run_fetch(self, job: Job, fetch: Fetch) -> None:
        failure: str | None = None
        with job.life:
            try:
                async with self._turns:
                    await self._carry_out(job, fetch)
            except (FetchError, DiskError) as error:
                failure = str(error)
        job.fetch = None
        self.fetching.discard(fetch.manifest.root)
        self._tell(fetch.manifest)
        job.closed.set()
        fetch.end("it was cancelled" if job.life.cancelled_caught else failure)
        self._changed()

    async def _carry_out(self, job: Job, fetch: Fetch) -> None:
        job.state, started = "downloading", trio.current_time()
        manifest = fetch.manifest
        with closing(PartFile(self._directory, manifest, self.user)) as part:
            if part.is_new:
                self._forget_parts(manifest.root)
            self._tell(manifest)
            await fetch.run(part)
            if not fetch.has_all:
                return
            path, version = await trio.to_thread.run_sync(part.finish)
            assert fetch.held is not None
            self._shelf.put(Held(fetch.held.leaves, path, version, fetch.held.have))
            job.path = path
        if not job.is_wanted_as_a_whole:  # its last chunk was asked for by itself
            seconds = trio.current_time() - started
            await self._show([render.downloaded(manifest, path, seconds, fetch.received_bytes)])

    def _forget_parts(self, root: bytes) -> None:
        """What was here of a file in part is gone: what lies there now would be a lie."""
        for held in self._shelf.all_of(root):
            if held.version is None:
                self._shelf.remove(held)

    def _say(self, notice: Notice) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._show, [notice])

    # -- Who fetches from us ---------------------------------------------------------------

    def suggest(self, root: bytes, user: str) -> bool:
        """A user fetches a file, so they may have some of it; tell whether we do too."""
        fetch = self._fetch_of(root)
        if fetch is not None:
            fetch.suggest(user)
        return fetch is not None

    def user_has(self, root: bytes, user: str, piece: int) -> None:
        """A user who fetches a file has one more piece of it."""
        fetch = self._fetch_of(root)
        if fetch is not None:
            fetch.user_has(user, piece)

    def _fetch_of(self, root: bytes) -> Fetch | None:
        fetches = (job.fetch for job in self._jobs.values())
        return next((fetch for fetch in fetches if fetch and fetch.manifest.root == root), None)


def _parse_chunks(text: str, manifest: Manifest) -> tuple[int, ...]:
    try:
        return parse_chunks(text, manifest.chunks)
    except ValueError as error:
        raise FetchError(str(error)) from None
