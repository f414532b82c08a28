"""The simulated platform: people, groups, messages and what happens among them. Pure."""
