"""A Debian machine with Open vSwitch as the rack's switch."""
