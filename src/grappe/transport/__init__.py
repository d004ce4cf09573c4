"""The only rooms that talk to devices."""
