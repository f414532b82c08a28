"""The edges of accounts: one module for each kind of account that has an implementation."""
