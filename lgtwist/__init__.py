"""lgtwist: a OneBot 11 connection layer on Twisted."""

__version__ = "0.1.0"
