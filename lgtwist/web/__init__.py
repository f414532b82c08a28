"""The listening port: who sends a request, whether there is room for it, and which room answers it."""
