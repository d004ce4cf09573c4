"""One folder per platform: pure rules from the model to resources and back."""
