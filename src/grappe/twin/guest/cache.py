"""Folders built once: named by a digest of their inputs, complete or absent, safe for two builders."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from grappe.twin.settings import cache_home


def default_cache_dir() -> Path:
    """Where images are kept from lab to lab: the twin's own cache."""
    return cache_home()


def digest(parts: Iterable[bytes | str]) -> str:
    """Twelve hexadecimal digits that name a list of inputs; the borders between them count."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(b"%d:" % len(data) + data)
    return total.hexdigest()[:12]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; it is made when missing and stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def ensure_folder(cache_dir: Path, name: str, key: str, build: Callable[[Path], None]) -> Path:
    """Return `cache_dir/name-key`; when missing, `build` fills an empty folder that takes its place.

    A second builder waits for the first and takes what it made. A build that fails leaves nothing.
    """
    target = cache_dir / f"{name}-{key}"
    if target.is_dir():
        return target
    with locked(cache_dir / f".{name}.lock"):
        if not target.is_dir():
            _fill(cache_dir, target, build)
    return target


def _fill(cache_dir: Path, target: Path, build: Callable[[Path], None]) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=cache_dir))
    try:
        build(scratch)
        scratch.chmod(0o755)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
