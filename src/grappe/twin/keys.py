"""Keys of a lab, and the ssh configuration that leads to its nodes through the virtual management network."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from grappe.twin import connect
from grappe.twin.blueprint import Blueprint, Node
from grappe.twin.settings import Folder


def make(folder: Folder, nodes: Iterable[Node]) -> None:
    """Make the user's key and every node's host key; all at once, for each takes a few milliseconds."""
    folder.keys.mkdir(mode=0o700)
    wanted = [(folder.identity, "grappe-twin"), *((folder.keys / one.name, one.name) for one in nodes)]
    running = [
        subprocess.Popen(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
            stdin=subprocess.DEVNULL,
        )
        for path, comment in wanted
    ]
    for one in running:
        if one.wait() != 0:
            raise OSError(f"{shlex.join(map(str, one.args))} ended with {one.returncode}")  # type: ignore[arg-type]


def write_ssh(folder: Folder, blueprint: Blueprint) -> None:
    """Write known_hosts and ssh_config."""
    keys = {one.name: (folder.keys / f"{one.name}.pub").read_text().split()[:2] for one in blueprint.nodes}
    folder.known_hosts.write_text("".join(f"{name} {' '.join(key)}\n" for name, key in keys.items()))
    folder.ssh_config.write_text("\n".join(_entry(folder, one) for one in blueprint.nodes))


def _entry(folder: Folder, node: Node) -> str:
    proxy = [sys.executable, "-I", "-S", connect.__file__, str(folder.path)]
    return "\n".join(
        (
            f"Host {node.name}",
            f"  HostName {node.address}",
            f"  HostKeyAlias {node.name}",
            "  User root",
            f"  IdentityFile {_quoted(folder.identity)}",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {_quoted(folder.known_hosts)}",
            "  GlobalKnownHostsFile /dev/null",
            "  StrictHostKeyChecking yes",
            "  UpdateHostKeys no",
            "  PreferredAuthentications publickey",
            f"  ProxyCommand {shlex.join(proxy).replace('%', '%%')} %h %p",
            "  ProxyUseFdpass yes",
            "",
        )
    )


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("%", "%%") + '"'
