"""The shape of the file -> the model: names resolved, everything derivable derived, every wrong name said."""
