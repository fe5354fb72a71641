"""Fetch published files: resumed where a fetch was cut, verified while they stream, never fetched twice."""

import errno
import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import urllib3
from filelock import FileLock

from pipeline.errors import InputError
from pipeline.files import sha256

CHUNK = 1 << 16
TRIES = 6  # failures in a row, without a byte of progress, before a mirror is given up
TIMEOUT = urllib3.Timeout(connect=15, read=30)  # seconds; a connection that is silent for longer has stalled
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP states that may pass
Show = Callable[[str, int, int], None]  # file name, bytes done, bytes in all


class Remote(NamedTuple):
    """A published file."""

    name: str
    bytes: int
    sha256: str


class PassingError(Exception):
    """A failure that may pass: try again."""


def fetch(remote: Remote, mirrors: Sequence[str], cache: Path, show: Show, pause: float = 1.0) -> Path:
    """The path of a verified copy of `remote`.

    `mirrors` are base URLs and folders, tried in order. What was fetched and verified stays in `cache` under its SHA-256, for
    every project on the machine; what was fetched in part is resumed by HTTP Range. `pause` seconds, doubled each time, lie between
    tries. A mirror that is passed over is logged. Raises InputError that says for each mirror what was expected, what was found and
    what to do.
    """
    folder = cache / remote.sha256
    path = folder / remote.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{cache}: expected a folder for downloads: {error}; set SR_CACHE to another one") from None
    failures = []
    with FileLock(folder / "lock"):
        if path.exists():
            return path
        for mirror in mirrors:
            try:
                return (
                    _from_url(remote, mirror, path, show, pause)
                    if "://" in mirror
                    else _from_folder(remote, Path(mirror).expanduser())
                )
            except InputError as failure:
                failures.append(str(failure))
                if len(failures) < len(mirrors):
                    logging.getLogger(__name__).warning("%s (trying the next mirror)", failure)
    raise InputError("\n".join(failures))


def _from_folder(remote: Remote, folder: Path) -> Path:
    """A file that the user already has: verified, used where it lies."""
    path = folder / remote.name
    if not path.is_file():
        raise InputError(f"{path}: expected the downloaded file, found none; put it there or name another mirror")
    if (found := sha256(path)) != remote.sha256:
        raise InputError(f"{path}: expected SHA-256 {remote.sha256}, found {found}; download it again")
    return path


def _from_url(remote: Remote, mirror: str, path: Path, show: Show, pause: float) -> Path:
    url = f"{mirror.rstrip('/')}/{remote.name}"
    part = path.with_name(f"{remote.name}.part")
    room = shutil.disk_usage(part.parent).free + _size(part)
    if room < remote.bytes:
        raise InputError(f"{part}: expected room for {remote.bytes} bytes, found {room}; free some or set SR_CACHE to another disk")
    failed = 0
    while True:
        before = _size(part)
        try:
            digest = _stream(url, part, remote, show)
            break
        except (PassingError, urllib3.exceptions.HTTPError) as failure:
            failed = 1 if _size(part) > before else failed + 1
            if failed >= TRIES:
                raise InputError(f"{url}: {failure}; gave up after {failed} fruitless tries; run again, it resumes") from None
            time.sleep(min(pause * 2 ** (failed - 1), 60))
        except OSError as failure:
            hint = "the disk is full; free some or set SR_CACHE" if failure.errno == errno.ENOSPC else "check the folder"
            raise InputError(f"{part}: {failure.strerror}; {hint}; what is there will be resumed") from None
    if digest != remote.sha256:
        aside = part.replace(path.with_name(f"{remote.name}.wrong"))
        raise InputError(f"{url}: expected SHA-256 {remote.sha256}, found {digest}; kept as {aside}; check mirror and checksum")
    return part.replace(path)


def _stream(url: str, part: Path, remote: Remote, show: Show) -> str:
    """Append to `part` what it lacks; the SHA-256 of the whole. Unbuffered: a killed process loses no more than a chunk."""
    have = _size(part)
    digest = hashlib.sha256()
    if have:
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    if have == remote.bytes:  # killed after the last byte and before the name
        return digest.hexdigest()
    if have > remote.bytes:
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with urllib3.PoolManager(retries=urllib3.Retry(None, connect=0, read=0, redirect=5, status=0, other=0)) as pool:
        response = pool.request("GET", url, headers=headers, timeout=TIMEOUT, preload_content=False)
        have = _resumed_at(url, part, response, have, remote)
        if not have:
            digest = hashlib.sha256()
        with part.open("ab" if have else "wb", buffering=0) as file:
            for chunk in response.stream(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                have += len(chunk)
                if have > remote.bytes:
                    part.unlink()
                    raise _wrong_size(url, remote, have)
                show(remote.name, have, remote.bytes)
    if have < remote.bytes:
        raise PassingError(f"the body ended after {have} of {remote.bytes} bytes")
    return digest.hexdigest()


def _resumed_at(url: str, part: Path, response: urllib3.BaseHTTPResponse, have: int, remote: Remote) -> int:
    """Where the body starts: at `have`, or at 0 when the server knows no Range."""
    if response.status in PASSING:
        raise PassingError(f"HTTP {response.status} {response.reason}")
    if response.status == 416:
        part.unlink()
        raise PassingError(f"{part.name} had {have} bytes, more than the server has; started anew")
    if response.status not in (200, 206):
        raise InputError(f"{url}: expected the file, found HTTP {response.status} {response.reason}; check the mirror")
    start = have if response.status == 206 else 0
    if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        raise InputError(f"{url}: asked for bytes from {have}, found {response.headers.get('Content-Range')}; name another mirror")
    length = response.headers.get("Content-Length")
    if length is not None and start + int(length) != remote.bytes:
        raise _wrong_size(url, remote, start + int(length))
    return start


def _wrong_size(url: str, remote: Remote, found: int) -> InputError:
    return InputError(f"{url}: expected {remote.bytes} bytes, found {found}; the file is another one, check the mirror")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
