"""What is needed of TCP, TLS and HTTP beside Twisted."""
