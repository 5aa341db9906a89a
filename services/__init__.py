"""Lead Router: every room of the product."""
