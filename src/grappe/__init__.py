"""Grappe: one file declares a virtualisation cluster; check, plan, apply, prove and operate it."""

__version__ = "0.1.0"
