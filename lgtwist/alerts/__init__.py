"""Telling people what is wrong: rules, what they look at, and the services that the messages are sent to."""
