"""The listening ports: limits, authentication, and the mounts that answer requests."""
