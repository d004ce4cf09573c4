"""The planning algebra: resources, diff, order, prediction, undo. No platform words in here."""
