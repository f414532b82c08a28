"""Milky, and its translation to OneBot 11 and back: pure, without network and files.

:mod:`lgtwist.accounts.milky` is the link that uses it.
"""
