"""The file and the model: YAML with positions, schema, messages."""
