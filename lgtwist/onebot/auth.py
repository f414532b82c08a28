"""Tokens (OneBot 11, ``communication/authorization.md``) and signatures (``communication/http-post.md``)."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable
from enum import Enum
from hashlib import blake2b
from typing import Generic, TypeVar

_Owner = TypeVar("_Owner")

_SCHEMES = ("bearer ", "token ")


class AuthenticationFailure(Enum):
    """Why a request was not let in, with the HTTP status that says so."""

    MISSING = 401
    WRONG = 403


def presented_tokens(header: str | None, query: Iterable[str]) -> list[str]:
    """The tokens that a request shows: ``Bearer T``, ``Token T`` or a bare ``T``, or a query's ``T``.

    Schemes are not case-sensitive (RFC 9110, 11.1). An empty token is none.

    :param header: the value of ``Authorization``.
    :param query: the values of ``access_token`` in the query.
    """
    presented = []
    if header is not None:
        value = header.strip()
        for scheme in _SCHEMES:
            if (value.lower() + " ").startswith(scheme):
                value = value[len(scheme) :].strip()
                break
        presented.append(value)
    presented.extend(query)
    return [token for token in presented if token]


def tokens_equal(first: str, second: str) -> bool:
    """Whether two tokens are equal, in time that does not tell where they differ."""
    return hmac.compare_digest(first.encode("utf-8", "replace"), second.encode("utf-8", "replace"))


class Keyring(Generic[_Owner]):
    """Whose token is whose; finding it takes as long for the last owner as for the first.

    :param owners: owners (hashable) with their tokens, None for one that has none.
    """

    def __init__(self, owners: Iterable[tuple[_Owner, str | None]] = ()) -> None:
        # Found by a keyed hash: how long that takes tells nothing of the tokens themselves.
        self._key = os.urandom(32)
        self._owner_by_digest: dict[bytes, _Owner] = {}
        self._digest_by_owner: dict[_Owner, bytes] = {}
        self._owners_without_token: list[_Owner] = []
        for owner, token in owners:
            self.add(owner, token)

    def add(self, owner: _Owner, token: str | None) -> None:
        """Add an owner, or give one that is there another token.

        Of several owners with the same token, and of several without one, the last one added counts.
        """
        self.remove(owner)
        if token is None:
            self._owners_without_token.append(owner)
        else:
            digest = self._digest(token)
            self._owner_by_digest[digest] = owner
            self._digest_by_owner[owner] = digest

    def remove(self, owner: _Owner) -> None:
        """Remove an owner and its token; one that is not there makes no difference."""
        digest = self._digest_by_owner.pop(owner, None)
        if digest is not None:
            if self._owner_by_digest.get(digest) == owner:  # else another owner was given this token since
                del self._owner_by_digest[digest]
        elif owner in self._owners_without_token:
            self._owners_without_token.remove(owner)

    def _digest(self, token: str) -> bytes:
        return blake2b(token.encode("utf-8", "replace"), key=self._key, digest_size=32).digest()

    def owner_of(self, presented: list[str]) -> _Owner | AuthenticationFailure:
        """Return whose token the first of those shown is that belongs to anybody.

        If none is shown at all, it is the owner without a token.
        """
        if not presented:
            return (
                self._owners_without_token[-1]
                if self._owners_without_token
                else AuthenticationFailure.MISSING
            )
        for candidate in presented:
            digest = self._digest(candidate)
            if digest in self._owner_by_digest:
                return self._owner_by_digest[digest]
        return AuthenticationFailure.WRONG


def sign(secret: str, body: bytes) -> str:
    """The value of ``X-Signature`` for a body: ``sha1=`` and its HMAC in lower-case hexadecimal."""
    return "sha1=" + hmac.new(secret.encode("utf-8", "replace"), body, "sha1").hexdigest()


def is_signed(secret: str, body: bytes, signature: str) -> bool:
    """Whether ``X-Signature`` fits a body, in time that does not tell where it does not."""
    return tokens_equal(sign(secret, body), signature.strip().lower())
