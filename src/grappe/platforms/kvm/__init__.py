"""KVM with libvirt and Open vSwitch on Debian."""
