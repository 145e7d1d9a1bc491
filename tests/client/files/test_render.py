from __future__ import annotations

from pathlib import Path

import pytest

from trio_chat.client.files import render as module
from trio_chat.client.notice import Kind, Notice
from trio_chat.swarm.manifest import Manifest

EVIL = "ev\x1b[2Jil\n"
ROOT = b"r" * 32


def _manifest(size: int, name: str = "a.bin") -> Manifest:
    return Manifest(name=name, size=size, chunks=min(size, 10), piece_bytes=16384, root=ROOT)


@pytest.mark.parametrize(
    ("notice", "shown"),
    [
        (
            module.registered(_manifest(1_000_003), new=True),
            "Ok. a.bin is registered: 1,000,003 bytes in 10 chunks of 100,000 bytes",
        ),
        (
            module.registered(_manifest(1, EVIL), new=False),
            "Ok. evil  was registered already: 1 byte in 1 chunk; you serve all of it now",
        ),
        (
            module.progress("a.bin", 1000, 250, 100.0, 1),
            "a.bin [###############     ]  75% 100 bytes/s, 0:02 left, 1 peer",
        ),
        (
            module.progress("a.bin", 10**12, 10**12, 1024.0, 0),
            "a.bin [                    ]   0% 1.0 KiB/s, 271267:21:40 left, 0 peers",
        ),
        (
            module.progress("a.bin", 0, 0, 0.0, 2),
            "a.bin [####################] 100% 0 bytes/s, 2 peers",
        ),
        (
            module.downloaded(_manifest(2048), Path("/d/a.bin"), 2.0, {"yoda": 512, "hans": 1536}),
            "Downloaded a.bin, 2.0 KiB in 2.0 s, 1.0 KiB/s; from hans 75%, yoda 25%: /d/a.bin",
        ),
        (
            module.downloaded(_manifest(0), Path("/d/\x1b[2Ja"), 0.0, {}),
            "Downloaded a.bin, 0 bytes: /d/a",
        ),
        (
            module.chunks_downloaded(_manifest(20), (1, 2, 5), ["hans", EVIL]),
            "Downloaded chunks 1-2,5 of a.bin from hans, evil ",
        ),
    ],
)
def test_what_is_said_of_files(notice: Notice, shown: str) -> None:
    assert notice.lines == (shown,)


@pytest.mark.parametrize(
    "notice",
    [
        module.not_registered(EVIL),
        module.not_shared(EVIL, EVIL),
        module.reading(EVIL, 0.5),
        module.download_state(EVIL, "failed"),
        module.download_failed(EVIL, EVIL),
        module.download_cancelled(EVIL),
        module.already_downloading(EVIL),
        module.not_downloading(EVIL),
        module.sends_wrong_bytes(EVIL, EVIL),
    ],
)
def test_names_control_nothing(notice: Notice) -> None:
    (line,) = notice.lines
    assert line.isprintable()
    assert "evil" in line
    for field in notice.fields.values():
        assert field is None or str(field).isprintable()


def test_programs_get_numbers() -> None:
    assert module.progress("a.bin", 1000, 250, 99.6, 1).fields == {
        "name": "a.bin",
        "size": 1000,
        "done": 750,
        "rate": 100,
        "peers": 1,
        "trouble": None,
        "text": "a.bin [###############     ]  75% 100 bytes/s, 0:03 left, 1 peer",
    }
    done = module.downloaded(_manifest(0), Path("/d/a.bin"), 0.0, {})
    assert done.kind is Kind.FILE
    assert (done.fields["state"], done.fields["path"]) == ("complete", "/d/a.bin")
    assert module.download_state("a.bin", "looking for it").fields["state"] == "looking_for_it"
