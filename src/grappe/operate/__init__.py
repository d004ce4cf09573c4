"""Intentions to plans: the verbs over VMs and hosts."""
