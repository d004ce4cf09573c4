"""Capacity and placement as pure functions."""
