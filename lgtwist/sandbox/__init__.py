"""The built-in account: a small world of people and groups, for bots without a chat account."""
