"""What a namespace node does at power-on, in the order of Debian's units.

ovsdb-server and ovs-vswitchd come before networking.service, which runs `ifup -a`; udev brings up what is
`allow-hotplug`. Bridges that are `allow-ovs` only are not brought up at boot: on Debian with systemd
openvswitch-switch.service runs /bin/true (README.Debian's `ifup --allow=ovs` belongs to its init script).
/etc/rc.local runs last when it is executable, as rc-local.service does.
"""

from __future__ import annotations

from grappe.twin.blueprint import Node

LOG = "/var/log/boot.log"

_HEAD = """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
fail() { echo "boot: $1 failed" >&2; exit 1; }
hotplug() {
  found=
  for name in $(ifquery --allow=hotplug --list); do
    [ -e "/sys/class/net/$name" ] && ! ifquery --state "$name" >/dev/null && found="$found $name"
  done
  [ -z "$found" ] || ifup --allow=hotplug $found
}
for file in /etc/sysctl.d/*.conf /etc/sysctl.conf; do
  [ ! -f "$file" ] || sysctl -q -e --pattern '^net[./]' -p "$file" || true
done
mkdir -p /run/openvswitch /run/network /run/sshd /run/libvirt /run/lock /var/log/openvswitch
"""

_OPENVSWITCH = """\
db=/etc/openvswitch/conf.db sock=/run/openvswitch/db.sock
ovsdb-server "$db" --remote=punix:"$sock" --remote=db:Open_vSwitch,Open_vSwitch,manager_options \\
  --private-key=db:Open_vSwitch,SSL,private_key --certificate=db:Open_vSwitch,SSL,certificate \\
  --bootstrap-ca-cert=db:Open_vSwitch,SSL,ca_cert \\
  --no-chdir --log-file=/var/log/openvswitch/ovsdb-server.log --pidfile=/run/openvswitch/ovsdb-server.pid \\
  --detach -vconsole:emer || fail ovsdb-server
ovs-vsctl --no-wait -- init -- set Open_vSwitch . other_config:userspace-tso-enable=true \\
  external_ids:system-id="$(cat /etc/openvswitch/system-id.conf)" external_ids:hostname="$(hostname)" \\
  external_ids:rundir=/run/openvswitch || fail "ovs-vsctl init"
ovs-vswitchd unix:"$sock" --no-chdir --log-file=/var/log/openvswitch/ovs-vswitchd.log \\
  --pidfile=/run/openvswitch/ovs-vswitchd.pid --detach -vconsole:emer || fail ovs-vswitchd
"""

_NETWORK = """\
hotplug
ifup -a
hotplug
/usr/sbin/sshd || fail sshd
"""

_LIBVIRT = """\
libvirtd -d -p /run/libvirtd.pid || fail libvirtd
"""

# A node has no systemd to start an armed guard again, so the boot calls the guards' own script.
_TAIL = """\
[ ! -e /var/lib/grappe/guard/boot ] || sh /var/lib/grappe/guard/boot
[ ! -x /etc/rc.local ] || /etc/rc.local
exit 0
"""


def script(node: Node) -> str:
    """Return the shell script that boots `node`; it ends with status 0 when every service was started."""
    return _HEAD + _OPENVSWITCH + _NETWORK + (_LIBVIRT if node.libvirt else "") + _TAIL


def services(node: Node) -> dict[str, str]:
    """The services of a node and where each keeps its process id."""
    found = {
        "ovsdb-server": "/run/openvswitch/ovsdb-server.pid",
        "ovs-vswitchd": "/run/openvswitch/ovs-vswitchd.pid",
        "sshd": "/run/sshd.pid",
    }
    return found | ({"libvirtd": "/run/libvirtd.pid"} if node.libvirt else {})
