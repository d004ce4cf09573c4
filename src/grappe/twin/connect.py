"""ProxyCommand of the twin: connect as the operator and hand the connection to ssh (ProxyUseFdpass).

Run as a program of its own, standard library only: `connect.py STATE-DIRECTORY ADDRESS PORT`. The
connection is made in the operator's network namespace, so a pulled cable cuts it like any other.

It starts once for every SSH connection: its imports are what it costs, so no pathlib here.
"""

import array
import ctypes
import os
import socket
import struct
import sys

NEWUSER, NEWNET = 0x10000000, 0x40000000
LIMIT = 5.0


def lab_pid(folder: str) -> int:
    """Process id of the lab's first process, from the peer of its socket."""
    os.chdir(folder)  # the address of a socket is short, a directory's name need not be
    with socket.socket(socket.AF_UNIX) as line:
        line.connect("control")
        found = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[0])


def enter(pid: int) -> None:
    """Enter the lab's user namespace, when it has one of its own, and its network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name, kind in (("user", NEWUSER), ("net", NEWNET)):
        theirs = f"/proc/{pid}/ns/{name}"
        if os.path.samefile(theirs, f"/proc/self/ns/{name}"):  # noqa: PTH121 - pathlib is a quarter of the start
            continue
        handle = os.open(theirs, os.O_RDONLY)
        if libc.setns(handle, kind) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), theirs)
        os.close(handle)


def main(folder: str, address: str, port: str) -> int:
    """Connect and pass the connection through standard output; 1 with a line of what was seen if not."""
    try:
        enter(lab_pid(folder))
        line = socket.create_connection((address, int(port)), timeout=LIMIT)
        line.settimeout(None)
        with socket.socket(fileno=os.dup(1)) as to_ssh:
            to_ssh.sendmsg(
                [b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [line.fileno()]))]
            )
    except OSError as error:
        print(f"twin in {folder}: {address} port {port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
