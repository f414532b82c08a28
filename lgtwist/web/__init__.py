"""The listening port: who is let in, and where a path leads."""
