"""What a machine's disk holds: packages, kernel modules, the few files that differ from Debian (pure)."""

from __future__ import annotations

SUITE = "bookworm"

_BASE = (
    "dbus",
    "ethtool",
    "ifupdown",
    "iproute2",
    "iputils-ping",
    "kmod",
    "openssh-server",
    "openvswitch-switch",
    "procps",
    "python3",
    "systemd-sysv",
    "udev",
)
_LIBVIRT = ("libvirt-clients", "libvirt-daemon-system", "qemu-system-x86", "qemu-utils")

# What the early initramfs loads, in the kernel that is not installed but only unpacked.
EARLY_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "button", "evdev")

# Of the kernel's tree, what no virtual Debian host of this kind needs; the rest stays for modprobe.
DROPPED_MODULES = (
    "arch/x86/crypto",
    "arch/x86/kvm",
    "drivers/ata",
    "drivers/gpu",
    "drivers/hv",
    "drivers/infiniband",
    "drivers/mmc",
    "drivers/net/ethernet",
    "drivers/net/hyperv",
    "drivers/net/wwan",
    "drivers/nvme",
    "drivers/scsi",
    "drivers/usb",
    "drivers/xen",
    "fs/btrfs",
    "fs/ceph",
    "fs/cifs",
    "fs/f2fs",
    "fs/gfs2",
    "fs/jfs",
    "fs/ntfs3",
    "fs/ocfs2",
    "fs/smbfs_common",
    "fs/xfs",
    "net/ceph",
    "net/rds",
    "net/sctp",
    "net/smc",
    "net/sunrpc",
    "net/tipc",
)

# Units that do nothing for a twin's host but cost an emulated processor seconds at each boot.
MASKED_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty-static.service",
    "getty@tty1.service",
    "ifupdown-wait-online.service",
    "kmod-static-nodes.service",
    "logrotate.timer",
    "modprobe@configfs.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-journal-flush.service",
    "systemd-machine-id-commit.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-rfkill.socket",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "uuidd.socket",
)

# UsePAM off: a session would wait for the logind that is masked above.
_SSHD = """\
HostKey /etc/ssh/ssh_host_grappe_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
UsePAM no
"""


# The console is the twin's own: whoever reaches it has pulled the machine out of the rack already. A shell
# without login(1): its session would cost an emulated boot seconds, and what is typed early would break it.
_CONSOLE = """\
[Service]
Environment=HOME=/root
ExecStart=
ExecStart=-/sbin/agetty --skip-login --login-program /bin/bash --noissue --keep-baud 115200 - $TERM
"""

# At boot udev looks at what matters only: an event for each of 64 terminals and every PCI function took half
# of an emulated boot. The modules that it would have found are loaded by init.
_UDEV = """\
[Service]
ExecStart=
ExecStart=-udevadm trigger --action=add --subsystem-match=block --subsystem-match=net --subsystem-match=input
ExecStart=-udevadm trigger --action=add --name-match=/dev/ttyS0
"""


def packages(*, libvirt: bool) -> tuple[str, ...]:
    """The Debian packages of a host, with or without libvirt and QEMU."""
    return (*_BASE, *_LIBVIRT) if libvirt else _BASE


def files() -> dict[str, str]:
    """Files of every machine, by path without a leading slash."""
    return {
        "etc/fstab": "/dev/vda / ext4 defaults,noatime 0 0\n",
        "etc/machine-id": "",
        "etc/resolv.conf": "",
        "etc/network/interfaces": "auto lo\niface lo inet loopback\n",
        "etc/ssh/sshd_config.d/grappe.conf": _SSHD,
        "etc/systemd/system/serial-getty@ttyS0.service.d/grappe.conf": _CONSOLE,
        "etc/systemd/system/systemd-udev-trigger.service.d/grappe.conf": _UDEV,
        "etc/systemd/journald.conf.d/grappe.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n",
    }
