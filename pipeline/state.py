"""The state of a training: written in the background, whole or not at all, found again after any end, and bounded."""

import os
import re
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch.utils import _pytree

from pipeline.errors import InputError
from pipeline.files import whole

FORMAT = 3
NAMES = ("state.pt", "previous.pt")
KEEP, BYTES = 8, 20 * 2**30  # folders of killed runs that are kept, and how much they may hold together


class Writer:
    """Writes states into a folder by a thread, one after another; the one before stays, in case that the last is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.thread = ThreadPoolExecutor(1)
        self.pending: Future[None] | None = None

    def save(self, values: dict[str, Any]) -> None:
        """Copy the tensors now, write them meanwhile. Raises InputError where the state before could not be written."""
        self.wait()
        copied = _pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.detach().to("cpu", copy=True), values)
        self.pending = self.thread.submit(_write, self.folder, {"format": FORMAT, **copied})

    def wait(self) -> None:
        """Until the last state is on disk."""
        if self.pending is not None:
            self.pending.result()


def _write(folder: Path, values: dict[str, Any]) -> None:
    last, previous = (folder / name for name in NAMES)
    try:
        with whole(last) as temporary:
            with temporary.open("wb") as file:
                torch.save(values, file)
                file.flush()
                os.fsync(file.fileno())  # on the disk before it takes the name of the state before
            if last.exists():
                last.replace(previous)
    except (InputError, RuntimeError) as error:  # RuntimeError is torch's own for a write that failed
        raise InputError(
            f"{folder}: expected to save the training's state: {error}; free some disk or set SR_STATE to another one; "
            "the state before is whole, and the same command goes on from it"
        ) from None


def load(folder: Path, tell: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest whole state, or None where there is none; `tell` is given the reason why one is passed over."""
    for name in NAMES:
        path = folder / name
        if not path.exists():
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():
                    raise ValueError(f"{damaged} is damaged")
            values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            if values["format"] != FORMAT:
                raise ValueError(f"expected format {FORMAT}, found {values['format']}")
            return values
        except Exception as error:  # damaged bytes raise whatever they like
            tell(f"{path} cannot be resumed from ({error}); the state before it is tried, else training starts anew")
    return None


def prune(root: Path) -> None:
    """Remove the states of runs that were killed and never resumed: the oldest, beyond KEEP or BYTES; none that is in use.

    A state's folder is called by a SHA-256; what else lies in `root` is left alone.
    """
    states = [path for path in root.iterdir() if re.fullmatch("[0-9a-f]{64}", path.name) and path.is_dir()]
    total, folders = 0, [(_saved(path), path) for path in states]
    for number, (_, folder) in enumerate(sorted(folders, reverse=True)):
        with suppress(OSError, Timeout):  # OSError: another run removes it, too
            total += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            if number >= KEEP or total > BYTES:
                with lock(folder, timeout=0):
                    remove(folder)


def _saved(folder: Path) -> float:
    """When a state was last written, in seconds; 0 for one that another run removed a moment ago."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def lock(folder: Path, timeout: float) -> FileLock:
    """The lock of a state, beside its folder. Raises filelock.Timeout when it is taken for longer than `timeout` seconds.

    Raises InputError where the folder cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder.parent}: expected a folder for states of training: {error}; set SR_STATE to another one"
        ) from None
    return FileLock(folder.with_name(f"{folder.name}.lock"), timeout=timeout)


def remove(folder: Path) -> None:
    """Forget a state; what is killed amid this leaves no state without its checkpoints."""
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder)
