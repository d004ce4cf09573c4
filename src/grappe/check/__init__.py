"""Findings over the model alone; one module per concern."""

from grappe.check.catalogue import CATALOGUE, UnknownCodeError, explain, lookup
from grappe.check.run import blocking, check

__all__ = ["CATALOGUE", "UnknownCodeError", "blocking", "check", "explain", "lookup"]
