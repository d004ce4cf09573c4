"""Fetch Debian packages with apt and unpack them, without installing anything and without root."""

from __future__ import annotations

import re
from pathlib import Path

from grappe.twin.guest.tools import BuildError, require, run

_STALE_LISTS = "refresh the package lists: apt-get update"


def first_dependency(record: str) -> str:
    """The first package named in the Depends field of an `apt-cache show` record."""
    found = re.search(r"^Depends:\s*([^\s,(|]+)", record, flags=re.MULTILINE)
    if found is None:
        raise BuildError("the package record has no Depends field", _STALE_LISTS)
    return found[1]


def resolve(metapackage: str) -> str:
    """The versioned package behind a metapackage such as linux-image-cloud-amd64."""
    apt_cache = require("apt-cache", "apt")
    hint = f"package {metapackage} must be known to apt; {_STALE_LISTS}"
    return first_dependency(run([apt_cache, "show", "--no-all-versions", metapackage], hint=hint))


def fetch(package: str, into: Path) -> Path:
    """Download `package` into the folder `into`, unpack it there and return the folder of its files."""
    download, files = into / f"{package}.download", into / f"{package}.files"
    download.mkdir(parents=True)
    # _apt, apt's own download user, cannot write into our folder: apt then warns and goes on as this user.
    run([require("apt-get", "apt"), "-q", "download", package], cwd=download, hint=_STALE_LISTS)
    (archive,) = download.glob("*.deb")
    run([require("dpkg-deb", "dpkg"), "-x", str(archive), str(files)])
    archive.unlink()
    return files
