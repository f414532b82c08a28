"""Delivery at least once: one bot, one account."""
