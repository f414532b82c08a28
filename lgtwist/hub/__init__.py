"""Accounts, bots, calls and subscriptions, independent of transports, sockets and threads."""
