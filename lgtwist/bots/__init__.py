"""The edges of bots: one module for each kind of bot, and what several kinds share."""
