"""Small virtual machines for tests and demonstrations: their image, their command line, their console."""

from grappe.twin.guest.accel import decide
from grappe.twin.guest.cache import default_cache_dir
from grappe.twin.guest.cmdline import GuestNic, cmdline
from grappe.twin.guest.console import Console, ConsoleError
from grappe.twin.guest.image import GuestFiles, ensure_guest
from grappe.twin.guest.tools import BuildError

__all__ = [
    "BuildError",
    "Console",
    "ConsoleError",
    "GuestFiles",
    "GuestNic",
    "cmdline",
    "decide",
    "default_cache_dir",
    "ensure_guest",
]
