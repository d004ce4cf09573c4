"""What a lab was started with, as it lies in its state directory, and where things lie there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grappe.twin.blueprint import Blueprint, from_json, to_json


@dataclass(frozen=True, slots=True)
class Settings:
    """How a lab is made.

    `cache` outlives labs (libvirt's findings, machine images). `rootless` says that the lab has a user
    namespace, `single_id` that only one user id exists in it. `kvm` shows /dev/kvm to the nodes, `tun` is
    the device used as /dev/net/tun, `shares` are paths in every node that show a path of this machine,
    read-only.
    """

    blueprint: Blueprint
    cache: Path
    rootless: bool = False
    single_id: bool = False
    kvm: bool = False
    tun: Path = Path("/dev/net/tun")
    shares: Mapping[str, Path] = field(default_factory=dict)

    @property
    def capabilities(self) -> Path:
        """Where libvirt's findings about QEMU are kept between labs; they differ with what it may use."""
        return self.cache / ("libvirt-kvm" if self.kvm else "libvirt")

    def to_json(self) -> str:
        """As text; `settings` reads it back equal."""
        plain = {
            "cache": str(self.cache),
            "rootless": self.rootless,
            "single_id": self.single_id,
            "kvm": self.kvm,
            "tun": str(self.tun),
            "shares": {where: str(what) for where, what in self.shares.items()},
        }
        return json.dumps({**plain, "blueprint": json.loads(to_json(self.blueprint))}, indent=1)


def settings(text: str) -> Settings:
    """Read what `Settings.to_json` wrote."""
    raw: dict[str, Any] = json.loads(text)
    return Settings(
        blueprint=from_json(json.dumps(raw["blueprint"])),
        cache=Path(raw["cache"]),
        rootless=raw["rootless"],
        single_id=raw["single_id"],
        kvm=raw["kvm"],
        tun=Path(raw["tun"]),
        shares={where: Path(what) for where, what in raw["shares"].items()},
    )


@dataclass(frozen=True, slots=True)
class Folder:
    """The state directory of one lab (0700)."""

    path: Path

    @property
    def settings(self) -> Path:
        """What the lab was started with."""
        return self.path / "lab.json"

    @property
    def lock(self) -> Path:
        """Locked as long as one process of the lab lives."""
        return self.path / "lock"

    @property
    def control(self) -> Path:
        """The lab's own socket."""
        return self.path / "control"

    @property
    def log(self) -> Path:
        """What the lab's own process said."""
        return self.path / "lab.log"

    @property
    def keys(self) -> Path:
        """Host keys, one per node."""
        return self.path / "keys"

    @property
    def identity(self) -> Path:
        """The user's key to every node."""
        return self.path / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The nodes' host keys as ssh wants them."""
        return self.path / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """A configuration for `ssh -F`."""
        return self.path / "ssh_config"

    def images(self, node: str) -> Path:
        """A node's /var/lib/libvirt/images: on disk, for images outgrow memory."""
        return self.path / "images" / node

    def machine(self, node: str) -> Path:
        """What a machine with its own kernel keeps over power cycles."""
        return self.path / "machines" / node


def state_home() -> Path:
    """Where labs lie: /var/lib for root, $XDG_STATE_HOME for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/grappe/twin")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "grappe/twin"


def cache_home() -> Path:
    """Where things are kept from lab to lab: /var/cache for root, $XDG_CACHE_HOME for others."""
    if os.geteuid() == 0:
        return Path("/var/cache/grappe")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grappe"
