"""A real sshd on the loopback interface with keys of its own, and a cable in front of it that can go dead."""

from __future__ import annotations

import contextlib
import selectors
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from grappe.transport.ssh import OpenSsh


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def keygen(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


class Relay:
    """Carries TCP connections to `target`; frozen, it carries nothing and says nothing: a dead line."""

    def __init__(self, target: int) -> None:
        self.target, self.frozen, self.accepted = target, False, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._closed = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _carry(self) -> None:
        while not self._closed:
            for ready, _ in self._selector.select(0.05):
                if self.frozen:
                    time.sleep(0.01)
                elif ready.fileobj is self._server:
                    self._accept()
                else:
                    self._pass(ready)

    def _accept(self) -> None:
        client, _ = self._server.accept()
        self.accepted += 1
        server = socket.create_connection(("127.0.0.1", self.target))
        self._selector.register(client, selectors.EVENT_READ, server)
        self._selector.register(server, selectors.EVENT_READ, client)

    def _pass(self, ready: selectors.SelectorKey) -> None:
        source, sink = ready.fileobj, ready.data
        assert isinstance(source, socket.socket)
        try:
            data = source.recv(65536)
            sink.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (source, sink):
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(end)
                end.close()

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        for entry in list(self._selector.get_map().values()):
            assert isinstance(entry.fileobj, socket.socket)
            entry.fileobj.close()
        self._selector.close()


class Lab:
    """A directory with a user's keys, known hosts and configuration, and a running sshd."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.host_key, self.user_key = keygen(place / "host"), keygen(place / "user")
        shutil.copy(self.user_key.with_suffix(".pub"), place / "authorized")
        self.known_hosts = place / "known"
        self.config = place / "config"
        self.config.write_text(
            f"Host *\n  IdentityFile {self.user_key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile none\n"
            "  StrictHostKeyChecking no\n"  # a careless user: it must not matter
        )
        # Sockets have short paths, pytest's folders long ones.
        self.control = Path(tempfile.mkdtemp(prefix="grappe-c"))
        self.port = free_port()
        self.log = place / "log"

    def start(self) -> subprocess.Popen[bytes]:
        options = {
            "HostKey": self.host_key,
            "AuthorizedKeysFile": self.place / "authorized",
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "yes",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        # sshd wants its empty directory /run/sshd: it gets a /run of its own.
        run = 'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec "$@"'
        sshd = ["/usr/sbin/sshd", "-D", "-f", "/dev/null", "-E", str(self.log), *words]
        process = subprocess.Popen(["unshare", "--mount", "sh", "-c", run, "sh", *sshd])
        self._wait(process)
        return process

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as s:
                if s.recv(4) == b"SSH-":
                    return
            assert process.poll() is None, f"sshd ended: {self.log.read_text()}"
            time.sleep(0.02)
        raise AssertionError(f"sshd did not greet within 20 s: {self.log.read_text()}")

    def trust(self, key: Path | None = None, port: int | None = None) -> None:
        public = (key or self.host_key).with_suffix(".pub").read_text()
        with self.known_hosts.open("a") as file:
            file.write(f"[127.0.0.1]:{port or self.port} {public}")

    def transport(self) -> OpenSsh:
        target = "127.0.0.1"
        return OpenSsh(
            "h1", target, port=self.port, config_file=self.config, control_dir=self.control, alive=1
        )


@contextlib.contextmanager
def lab(place: Path) -> Iterator[Lab]:
    it = Lab(place)
    process = it.start()
    try:
        yield it
    finally:
        for socket_file in it.control.iterdir():
            stop = [
                "ssh",
                "-F",
                str(it.config),
                "-o",
                f"ControlPath={socket_file}",
                "-O",
                "exit",
                "127.0.0.1",
            ]
            subprocess.run(stop, capture_output=True, check=False)
        shutil.rmtree(it.control)
        process.terminate()
        process.wait(10)
