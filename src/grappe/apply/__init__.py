"""Observe all scopes at once, run a plan, guard, journal, resume."""
