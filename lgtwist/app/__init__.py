"""The tree of services that one configuration asks for, and how it changes."""
