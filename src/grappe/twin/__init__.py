"""The site on one machine: wiring, hosts, guests."""
