"""A part of the stub."""
