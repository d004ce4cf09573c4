"""How scripts call `virsh`: quiet, never waiting for ever, always libvirt's own (root) instance."""

VIRSH = """set -eu
ask() { timeout 45 virsh -q -c qemu:///system "$@"; }"""
"""Opening lines of a fixed shell text; values come as arguments and standard input, never in the text.

Options are written `--name=VALUE`, so that a value may begin with dashes.
"""
