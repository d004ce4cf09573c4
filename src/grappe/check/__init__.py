"""Findings over the model alone; one module per concern."""
