"""Proof by packets: the roll call, wire proof, outage measurement."""
