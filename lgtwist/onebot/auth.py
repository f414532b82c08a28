"""Tokens (OneBot 11, ``communication/authorization.md``) and signatures (``communication/http-post.md``)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from enum import Enum
from typing import TypeVar

_Owner = TypeVar("_Owner")

_SCHEMES = ("bearer ", "token ")


class Refusal(Enum):
    """Why a request was not let in, with the HTTP status that says so."""

    MISSING = 401
    WRONG = 403


def presented_tokens(header: str | None, query: Iterable[str]) -> list[str]:
    """The tokens that a request shows: ``Bearer T``, ``Token T`` or a bare ``T``, or a query's ``T``.

    Schemes are not case-sensitive (RFC 9110, 11.1). An empty token is none.

    :param header: the value of ``Authorization``.
    :param query: the values of ``access_token`` in the query.
    """
    shown = []
    if header is not None:
        value = header.strip()
        for scheme in _SCHEMES:
            if (value.lower() + " ").startswith(scheme):
                value = value[len(scheme) :].strip()
                break
        shown.append(value)
    shown.extend(query)
    return [token for token in shown if token]


def same_token(one: str, other: str) -> bool:
    """Whether two tokens are equal, in time that does not tell where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def owner_of(shown: list[str], owners: Iterable[tuple[_Owner, str | None]]) -> _Owner | Refusal:
    """Whose token is among those shown.

    :param owners: every owner with its token, or None for one that has none; such a one is found by
        a request that shows no token at all.
    """
    found: _Owner | None = None
    for owner, token in owners:
        if token is None:
            if not shown:
                found = owner
            continue
        for candidate in shown:  # no early end: the time must not tell whose token was near
            if same_token(candidate, token):
                found = owner
    if found is not None:
        return found
    return Refusal.WRONG if shown else Refusal.MISSING


def sign(secret: str, body: bytes) -> str:
    """The value of ``X-Signature`` for a body: ``sha1=`` and its HMAC in lower-case hexadecimal."""
    return "sha1=" + hmac.new(secret.encode("utf-8", "replace"), body, "sha1").hexdigest()


def is_signed(secret: str, body: bytes, signature: str) -> bool:
    """Whether ``X-Signature`` fits a body, in time that does not tell where it does not."""
    return same_token(sign(secret, body), signature.strip().lower())
