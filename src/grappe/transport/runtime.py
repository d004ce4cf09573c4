"""The private directory for what lives as long as a login: control sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# sun_path of unix(7) has 108 bytes; ssh appends a dot and 16 characters while it sets a master up, and
# our own names need 20.
LONGEST = 108 - 1 - 17 - 20


class RuntimeDirectoryError(OSError):
    """The private directory is missing its privacy."""


def runtime_directory() -> Path:
    """Make and return a directory that only this user can enter, with a path short enough for sockets.

    Raises RuntimeDirectoryError when somebody else owns it or could look inside.
    """
    uid = os.getuid()
    for base in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{uid}", "/run" if uid == 0 else None):
        if base and len(base) + 7 <= LONGEST and os.access(base, os.W_OK | os.X_OK):
            return private_directory(Path(base, "grappe"))
    return private_directory(Path(f"/tmp/grappe-{uid}"))  # noqa: S108 - checked by private_directory


def private_directory(path: Path) -> Path:
    """Make a directory of mode 0700 unless it is there, and make sure that it is ours alone."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RuntimeDirectoryError(
            f"{path}: expected a directory of uid {os.getuid()} with mode 0700, found mode "
            f"{stat.S_IMODE(found.st_mode):04o} of uid {found.st_uid}; remove it or set XDG_RUNTIME_DIR"
        )
    return path
