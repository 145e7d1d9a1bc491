"""What comes of files (section 3.5), as notices; the rule is that of `render`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...swarm.manifest import Manifest, format_chunks
from ...text import clean_line
from ..notice import Kind, Notice, error, notice


def format_bytes(size: float) -> str:
    """An amount in a unit that suits it."""
    if size < 1024:
        return f"{size:.0f} byte{'' if size == 1 else 's'}"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def _file(name: str, state: str, line: str, path: Path | None = None) -> Notice:
    where = None if path is None else clean_line(str(path))
    return notice(Kind.FILE, line, name=clean_line(name), state=state, path=where)


def registered(manifest: Manifest, *, new: bool) -> Notice:
    """A file was registered by our user."""
    name = clean_line(manifest.name)
    size = f"{manifest.size:,} byte{'' if manifest.size == 1 else 's'}"
    chunks = f"{manifest.chunks} chunk{'' if manifest.chunks == 1 else 's'}"
    if manifest.chunks > 1:
        chunks += f" of {manifest.chunk_bytes:,} bytes"
    line = f"Ok. {name} is registered: {size} in {chunks}"
    if not new:
        line = f"Ok. {name} was registered already: {size} in {chunks}; you serve all of it now"
    return _file(name, "registered", line)


def unregistered(name: str) -> Notice:
    """A file is not registered by our user any more."""
    name = clean_line(name)
    return _file(name, "unregistered", f"Ok. You do not share {name} any more")


def cannot_unregister() -> Notice:
    """The server does not know how to unregister."""
    line = "Error. This server is older than 'unregister'; ask its operator to update it"
    return error("not_supported", line, "unregister")


def not_registered(reason: str) -> Notice:
    """A file of our user can't be read."""
    return error("not_registered", f"Error. {clean_line(reason)}", "register")


def not_shared(name: str, reason: str) -> Notice:
    """A file that was shared can't be read any more."""
    name = clean_line(name)
    line = f"{name} is not shared any more: {clean_line(reason)}"
    return _file(name, "not_shared", line)


def reading(name: str, done: float) -> Notice:
    """How far a file is read that is about to be registered."""
    return notice(Kind.INFO, f"Reading {clean_line(name)}: {done:.0%}")


def progress(
    name: str, size: int, missing: int, rate: float, sources: int, trouble: str | None = None
) -> Notice:
    """How far a download is; why nothing comes, if that is known."""
    name, done = clean_line(name), 1 - missing / size if size else 1.0
    bar = "#" * int(done * 20)
    peers = f"{sources} peer{'' if sources == 1 else 's'}"
    left = f", {_format_left(missing / rate)} left" if rate > 0 and missing else ""
    why = f"; {clean_line(trouble)}" if trouble else ""
    return notice(
        Kind.PROGRESS,
        f"{name} [{bar:<20}] {done:4.0%} {format_bytes(rate)}/s{left}, {peers}{why}",
        name=name,
        size=size,
        done=size - missing,
        rate=round(rate),
        peers=sources,
        trouble=trouble and clean_line(trouble),
    )


def _format_left(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def download_state(name: str, state: str) -> Notice:
    """How a download is that does not run, or not yet."""
    return _file(name, state.replace(" ", "_"), f"{clean_line(name)}: {state}")


def no_downloads() -> Notice:
    """There is none to tell of."""
    return notice(Kind.INFO, "There were no downloads")


def downloaded(
    manifest: Manifest, path: Path, seconds: float, received: Mapping[str, int]
) -> Notice:
    """A download is complete; says how much came from whom."""
    total = sum(received.values())
    shares = ", ".join(
        f"{clean_line(user)} {size / total:.0%}" for user, size in sorted(received.items()) if size
    )
    rate = f" in {seconds:.1f} s, {format_bytes(total / seconds)}/s" if seconds > 0 else ""
    sources = f"; from {shares}" if shares else ""
    name, size = clean_line(manifest.name), format_bytes(manifest.size)
    line = f"Downloaded {name}, {size}{rate}{sources}: {clean_line(str(path))}"
    return _file(name, "complete", line, path)


def chunks_downloaded(manifest: Manifest, chunks: Sequence[int], users: Sequence[str]) -> Notice:
    """Chunks that our user asked for are here; says who has sent them."""
    senders = ", ".join(clean_line(user) for user in users)
    line = f"Downloaded {_which(chunks)} of {clean_line(manifest.name)} from {senders}"
    return _file(manifest.name, "chunks_complete", line)


def chunks_here(manifest: Manifest, chunks: Sequence[int]) -> Notice:
    """Chunks that our user asks for were here before."""
    line = f"You have {_which(chunks)} of {clean_line(manifest.name)} already"
    return _file(manifest.name, "chunks_complete", line)


def chunks_failed(manifest: Manifest, chunks: Sequence[int], reason: str) -> Notice:
    """Chunks that our user asked for can't be had."""
    which = f"{_which(chunks)} of {clean_line(manifest.name)}"
    line = f"Error. Cannot download {which}: {clean_line(reason)}"
    return error("download_failed", line, "download")


def _which(chunks: Sequence[int]) -> str:
    return f"chunk{'' if len(chunks) == 1 else 's'} {format_chunks(chunks)}"


def download_failed(name: str, reason: str) -> Notice:
    """A download has ended, and the file is not here."""
    line = f"Error. Cannot download {clean_line(name)}: {clean_line(reason)}"
    return error("download_failed", line, "download")


def news_of_holders(name: str, text: str) -> Notice:
    """What has become of those who have a file that is downloaded."""
    return notice(Kind.INFO, f"{clean_line(name)}: {clean_line(text)}")


def download_cancelled(name: str, chunks: str | None = None) -> Notice:
    """Our user has given a download up, or the chunks that they had asked for in these words."""
    name = clean_line(name)
    if chunks is not None:
        which = f"Chunk{'' if chunks.isdigit() else 's'} {clean_line(chunks)}"
        line = f"{which} of {name} was cancelled; what is here of it stays"
        return _file(name, "cancelled", line)
    return _file(name, "cancelled", f"{name} was cancelled; 'download' goes on with it")


def already_downloading(name: str) -> Notice:
    """There is such a download."""
    line = f"Error. {clean_line(name)} is being downloaded already"
    return error("already_downloading", line, "download")


def still_downloading(name: str) -> Notice:
    """A file is on its way, so it can't be given up."""
    line = f"Error. {clean_line(name)} is being downloaded; 'cancel' that first"
    return error("already_downloading", line, "unregister")


def not_downloading(name: str) -> Notice:
    """There is no such download."""
    line = f"Error. {clean_line(name)} is not being downloaded"
    return error("not_downloading", line, "cancel")


def sends_wrong_bytes(name: str, user: str) -> Notice:
    """Somebody has sent pieces that are not those of the file."""
    line = f"{clean_line(user)} sends wrong bytes for {clean_line(name)}, and is not asked any more"
    return notice(Kind.INFO, line)


def sent_to_others(size: int) -> Notice:
    """How much of our files, or of what we fetched, went to others."""
    return notice(Kind.INFO, f"Sent to others: {format_bytes(size)}")
