"""`python -m grappe` and the `grappe` command."""

from __future__ import annotations

from grappe.cli.main import main

if __name__ == "__main__":
    main()
