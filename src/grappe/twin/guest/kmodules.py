"""Pick kernel modules and the order in which they load, read from the modules themselves.

A packaged but not installed kernel has no modules.dep; each module has `depends=` in its .modinfo section.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterable
from pathlib import Path

from grappe.twin.guest.tools import BuildError


def dependencies(module: bytes) -> tuple[str, ...]:
    """Names of the modules that `module` (an uncompressed .ko) needs, as its .modinfo says."""
    start = module.find(b"\0depends=")
    if start < 0:
        return ()
    value = module[start + len(b"\0depends=") :].split(b"\0", 1)[0].decode()
    return tuple(name.replace("-", "_") for name in value.split(",") if name)


def load_order(wanted: Iterable[str], depends: Callable[[str], Iterable[str]]) -> list[str]:
    """Names in an order in which every module comes after all that it depends on."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for needed in depends(name):
                visit(needed)
            order.append(name)

    for name in wanted:
        visit(name)
    return order


def read(path: Path) -> bytes:
    """A module's content, uncompressed (.ko and .ko.xz)."""
    data = path.read_bytes()
    if path.name.endswith(".xz"):
        return lzma.decompress(data)
    if not path.name.endswith(".ko"):
        raise BuildError(
            f"module {path} is compressed in a way that is not known here", "expected .ko or .ko.xz"
        )
    return data


class ModuleTree:
    """The modules under a kernel's folder (lib/modules/VERSION), by name with underscores."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._paths = {path.name.split(".ko")[0].replace("-", "_"): path for path in root.rglob("*.ko*")}

    def closure(self, wanted: Iterable[str], *, optional: Iterable[str] = ()) -> dict[str, bytes]:
        """Modules with all they depend on, in load order; `optional` ones are left out when absent."""
        names = [*wanted, *(name for name in optional if name in self._paths)]
        content: dict[str, bytes] = {}

        def depends(name: str) -> tuple[str, ...]:
            content[name] = read(self._path(name))
            return dependencies(content[name])

        return {name: content[name] for name in load_order(names, depends)}

    def _path(self, name: str) -> Path:
        if name not in self._paths:
            raise BuildError(f"kernel module {name} not found under {self.root}", "is this a Debian kernel?")
        return self._paths[name]
