"""The words of every code, one module per concern. `catalogue` collects them."""
