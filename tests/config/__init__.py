"""The readers of configuration values."""
