"""What several platforms on Debian share: Open vSwitch, interfaces, ifupdown."""
