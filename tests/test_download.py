"""Downloads from a real server on loopback: whole, resumed, verified, and what bad servers get told."""

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import urllib3

from pipeline import download
from pipeline.download import Remote, fetch
from pipeline.errors import InputError
from pipeline.files import sha256
from tests.repository import ROOT
from tests.server import Server, serve

NAME = "DIV2K_valid_HR.zip"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / NAME).write_bytes(np.random.default_rng(0).bytes(300_000))
    return tmp_path / "served"


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with serve(folder) as running:
        yield running


@pytest.fixture
def remote(folder: Path) -> Remote:
    return Remote(NAME, 300_000, sha256(folder / NAME))


def get(remote: Remote, server: Server, tmp_path: Path) -> Path:
    return fetch(remote, [server.url], tmp_path / "cache", lambda *_: None, pause=0.01)


def part(remote: Remote, tmp_path: Path) -> Path:
    return tmp_path / "cache" / remote.sha256 / f"{NAME}.part"


def test_whole_and_never_again(server: Server, remote: Remote, tmp_path: Path) -> None:
    shown: list[tuple[str, int, int]] = []
    path = fetch(remote, [server.url], tmp_path / "cache", lambda *now: shown.append(now))
    assert sha256(path) == remote.sha256
    assert shown[-1] == (NAME, 300_000, 300_000)
    assert get(remote, server, tmp_path) == path
    assert len(server.requests) == 1


def test_resumes_where_it_was_cut(server: Server, remote: Remote, folder: Path, tmp_path: Path) -> None:
    part(remote, tmp_path).parent.mkdir(parents=True)
    part(remote, tmp_path).write_bytes((folder / NAME).read_bytes()[:123_456])
    assert sha256(get(remote, server, tmp_path)) == remote.sha256
    assert server.requests == [(NAME, "bytes=123456-")]
    assert server.sent == 300_000 - 123_456


def test_killed_after_the_last_byte(server: Server, remote: Remote, folder: Path, tmp_path: Path) -> None:
    part(remote, tmp_path).parent.mkdir(parents=True)
    part(remote, tmp_path).write_bytes((folder / NAME).read_bytes())
    assert sha256(get(remote, server, tmp_path)) == remote.sha256
    assert server.requests == []


@pytest.mark.parametrize("faults", [[500], [503, 429], ["shorter"], ["no length"], ["shorter", 502, "shorter"], [416]])
def test_failures_that_pass(server: Server, remote: Remote, tmp_path: Path, faults: list[int | str]) -> None:
    part(remote, tmp_path).parent.mkdir(parents=True)
    part(remote, tmp_path).write_bytes(b"")
    server.faults[NAME] = list(faults)
    assert sha256(get(remote, server, tmp_path)) == remote.sha256


def test_stalled_connection(server: Server, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", urllib3.Timeout(connect=1, read=0.3))
    server.faults[NAME] = ["stall"]
    assert sha256(get(remote, server, tmp_path)) == remote.sha256
    assert server.requests[1][1] is not None


def test_server_without_range(folder: Path, remote: Remote, tmp_path: Path) -> None:
    part(remote, tmp_path).parent.mkdir(parents=True)
    part(remote, tmp_path).write_bytes(b"x" * 1000)
    with serve(folder, ranges=False) as server:
        assert sha256(get(remote, server, tmp_path)) == remote.sha256


def test_second_mirror(server: Server, remote: Remote, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = fetch(remote, [str(tmp_path), f"{server.url}/none", server.url], tmp_path / "cache", lambda *_: None, pause=0.01)
    assert sha256(path) == remote.sha256
    folder, url = (record.getMessage() for record in caplog.records)
    assert folder.startswith(f"{tmp_path / NAME}: expected the downloaded file, found none")
    assert url.startswith(f"{server.url}/none/{NAME}: expected the file, found HTTP 404")
    assert folder.endswith("(trying the next mirror)")


@pytest.mark.parametrize("home", [False, True])
def test_folder_as_mirror(folder: Path, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: bool) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch(remote, [f"~/{folder.name}" if home else str(folder)], tmp_path / "cache", lambda *_: None) == folder / NAME


def test_cache_that_cannot_be(folder: Path, remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"file: expected a folder for downloads: .*; set SR_CACHE to another one"):
        fetch(remote, [str(folder)], tmp_path / "file", lambda *_: None)


@pytest.mark.parametrize(
    "faults, message",
    [
        ([404], f"{NAME}: expected the file, found HTTP 404 Not Found; check the mirror"),
        ([403], f"{NAME}: expected the file, found HTTP 403 Forbidden; check the mirror"),
        ([500] * 9, f"{NAME}: HTTP 500 Internal Server Error; gave up after 6 fruitless tries; run again, it resumes"),
        (["longer"], f"{NAME}: expected 300000 bytes, found 300004; the file is another one, check the mirror"),
        (["wrong range"], f"{NAME}: asked for bytes from 10, found bytes 17-299999/300000; name another mirror"),
    ],
)
def test_bad_servers(server: Server, remote: Remote, tmp_path: Path, faults: list[int | str], message: str) -> None:
    part(remote, tmp_path).parent.mkdir(parents=True)
    part(remote, tmp_path).write_bytes(b"x" * 10)
    server.faults[NAME] = list(faults)
    with pytest.raises(InputError) as caught:
        get(remote, server, tmp_path)
    assert message in str(caught.value)
    assert not (tmp_path / "cache" / remote.sha256 / NAME).exists()


def test_wrong_checksum_is_kept_aside_and_not_resumed(server: Server, remote: Remote, tmp_path: Path) -> None:
    wrong = remote._replace(sha256="0" * 64)
    for _ in range(2):
        with pytest.raises(InputError, match=f"expected SHA-256 {'0' * 64}, found {remote.sha256}; kept as .*{NAME}.wrong"):
            get(wrong, server, tmp_path)
    assert [wanted for _, wanted in server.requests] == [None, None]
    assert {path.name for path in (tmp_path / "cache" / wrong.sha256).iterdir()} == {"lock", f"{NAME}.wrong"}


def test_wrong_file_in_a_folder(folder: Path, remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{NAME}: expected SHA-256 {'0' * 64}, found {remote.sha256}; download it again"):
        fetch(remote._replace(sha256="0" * 64), [str(folder)], tmp_path / "cache", lambda *_: None)
    with pytest.raises(InputError, match="expected the downloaded file, found none; put it there or name another mirror"):
        fetch(remote, [str(tmp_path)], tmp_path / "cache", lambda *_: None)


def test_nobody_listens(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gave up after 6 fruitless tries"):
        fetch(remote, ["http://127.0.0.1:9"], tmp_path / "cache", lambda *_: None, pause=0.001)


def test_disk_too_small(server: Server, remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected room for \d+ bytes, found \d+; free some or set SR_CACHE to another disk"):
        get(remote._replace(bytes=1 << 60), server, tmp_path)
    assert server.requests == []


FETCH = """
import sys
from pathlib import Path
from pipeline.download import Remote, fetch
fetch(Remote(sys.argv[1], int(sys.argv[2]), sys.argv[3]), [sys.argv[4]], Path(sys.argv[5]), lambda *_: None, pause=0.01)
"""


def test_disk_that_fills_up(server: Server, remote: Remote, tmp_path: Path) -> None:
    """A real write that fails: the process may write no file of more than 100,000 bytes."""
    command = [sys.executable, "-c", FETCH, NAME, "300000", remote.sha256, server.url, str(tmp_path / "cache")]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert "what is there will be resumed" in done.stderr
    assert sha256(get(remote, server, tmp_path)) == remote.sha256
    assert server.requests[-1] == (NAME, "bytes=100000-")


def test_killed_twenty_times(tmp_path: Path) -> None:
    """50 MB, throttled; SIGKILL at 20 random moments, then to the end: the server sends at most 1.1 times the file."""
    served = tmp_path / "served"
    served.mkdir()
    size = 50 * 2**20
    (served / NAME).write_bytes(np.random.default_rng(1).bytes(size))
    digest = sha256(served / NAME)
    random = np.random.default_rng(2)
    with serve(served, rate=6 * 2**20) as server:
        command = [sys.executable, "-c", FETCH, NAME, str(size), digest, server.url, str(tmp_path / "cache")]
        for _ in range(20):
            before = len(server.requests)
            process = subprocess.Popen(command, cwd=ROOT)
            while len(server.requests) == before and process.poll() is None:
                time.sleep(0.005)
            time.sleep(random.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not (tmp_path / "cache" / digest / NAME).exists()
        server.rate = None
        subprocess.run(command, cwd=ROOT, check=True)
        assert sha256(tmp_path / "cache" / digest / NAME) == digest
        assert len(server.requests) == 21
        assert sum(wanted is not None for _, wanted in server.requests) >= 10  # a few died before their first byte
        print(f"sent {server.sent / size:.4f} times the file")
        assert server.sent <= 1.1 * size
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [digest]
