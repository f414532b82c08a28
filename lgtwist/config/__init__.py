"""Readers of the tables and values of a configuration file."""
