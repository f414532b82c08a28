"""TCP, TLS and HTTP, as far as more is needed than Twisted has."""
