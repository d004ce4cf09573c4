"""A device over OpenSSH's own client: the user's configuration, keys, agent and jump hosts apply.

Options are those of ssh_config(5). Host keys are always strict, whatever the configuration says.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2s
from pathlib import Path

from grappe.transport import ssh_errors
from grappe.transport.base import TransportError
from grappe.transport.process import ProcessTransport
from grappe.transport.runtime import LONGEST, runtime_directory

# LogLevel: below INFO ssh keeps to itself why it gave up.
_ALWAYS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ServerAliveCountMax=3",
    "LogLevel=INFO",
    "RemoteCommand=none",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
)


@dataclass(frozen=True)
class OpenSsh(ProcessTransport):
    """A device at `target`, a name or address that the user's ssh configuration applies to.

    `config_file` replaces the user's configuration. `control_dir` is the private directory for shared
    connections (None: one of the login's own). `alias` is the name the host key is filed under when it is
    not the target (HostKeyAlias). In seconds: `connect_timeout`; `alive`, after three of which without a sign
    of life the line counts as dead; `persist`, how long an idle shared connection is kept. `shared=False`
    opens a new connection for every call.
    """

    device: str
    target: str
    user: str | None = None
    port: int | None = None
    config_file: Path | None = None
    control_dir: Path | None = None
    alias: str | None = None
    connect_timeout: int = 10
    alive: int = 5
    persist: int = 60
    shared: bool = True

    def __post_init__(self) -> None:
        if not self.target or self.target.startswith("-") or any(c.isspace() for c in self.target):
            raise ValueError(f"{self.device}: expected a host name or address for ssh, found {self.target!r}")
        if self.control_dir is not None and len(str(self.control_dir)) > LONGEST:
            raise ValueError(
                f"{self.device}: the path of a control directory has at most {LONGEST} characters, "
                f"found {len(str(self.control_dir))}: {self.control_dir}"
            )

    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:
        """Words that run `argv` on the device; with `tty` on a terminal there, even from a pipe here."""
        terminal = ("-tt", "-e", "none") if tty else ("-T",)
        return [*self._call(), *terminal, "--", self.target, shlex.join(argv)]

    def _call(self) -> list[str]:
        words = ["ssh"]
        if self.config_file is not None:
            words += ["-F", str(self.config_file)]
        if self.user is not None:
            words += ["-l", self.user]
        if self.port is not None:
            words += ["-p", str(self.port)]
        waits = (f"ConnectTimeout={self.connect_timeout}", f"ServerAliveInterval={self.alive}")
        options = (*_ALWAYS, *waits, *self._sharing())
        if self.alias is not None:
            options += (f"HostKeyAlias={self.alias}",)
        return words + [word for option in options for word in ("-o", option)]

    def _sharing(self) -> tuple[str, ...]:
        if not self.shared:
            return ("ControlMaster=no", "ControlPath=none")
        return ("ControlMaster=auto", f"ControlPath={self._socket()}", f"ControlPersist={self.persist}")

    def _socket(self) -> Path:
        # ssh's own %C leaves out the configuration file: two laboratories may use the same addresses.
        who = (self.target, self.user, self.port, self.config_file, self.alias)
        name = blake2s(repr(who).encode(), digest_size=8).hexdigest()
        try:
            return (self.control_dir or runtime_directory()) / name
        except OSError as error:
            raise TransportError(self.device, f"no place for shared connections: {error}") from error

    def explain(self, said: str, status: int) -> tuple[str, str]:
        """Reason and hint for ssh's error output."""
        where = self.alias or (self.target if self.port in (None, 22) else f"[{self.target}]:{self.port}")
        return ssh_errors.explain(said, status, ssh_errors.Called(shlex.join(self._by_hand()), where))

    def _by_hand(self) -> list[str]:
        words = ["ssh"]
        for flag, value in (("-F", self.config_file), ("-l", self.user), ("-p", self.port)):
            words += [flag, str(value)] if value is not None else []
        return [*words, *(("-o", f"HostKeyAlias={self.alias}") if self.alias else ()), self.target]

    def fresh(self) -> OpenSsh:
        """Return the same way with a connection, login and name look-up of its own for every call."""
        return replace(self, shared=False)

    def close(self) -> None:
        """End the shared connection, if there is one."""
        if self.shared and self._socket().exists():
            words = [*self._call(), "-O", "exit", "--", self.target]
            nothing = subprocess.DEVNULL
            subprocess.run(words, stdin=nothing, stdout=nothing, stderr=nothing, timeout=10, check=False)
