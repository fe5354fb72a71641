"""Files that are written whole or not at all."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError

if TYPE_CHECKING:  # so that who writes no table needs no pandas: each process of prepare is 60 MB smaller
    import pandas as pd


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` when the block ends without an error.

    Raises InputError where the file system refuses: no room, no permission, a file in place of a folder.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: expected to write it: {reason}; free some disk, or mend the folder's rights") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON. Infinity, which JSON lacks, is written as "inf"; NaN is no result: ValueError."""
    write_text(path, json.dumps(finite(value), indent=2, sort_keys=True, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """The same value with each infinity as the text "inf" or "-inf"."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table with 8 significant digits and Unix line ends, the same bytes on every machine."""
    write_text(path, table.to_csv(index=False, float_format="%.8g", lineterminator="\n"))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
