"""The built-in account: a simulated platform with people and groups, for bots without a chat account."""
