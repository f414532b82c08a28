"""The HTTP interface through which people in a sandbox act."""
