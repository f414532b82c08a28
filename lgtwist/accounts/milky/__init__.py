"""Accounts of type ``milky``: the link to an implementation of Milky."""
