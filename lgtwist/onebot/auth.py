"""Access tokens and signatures (OneBot 11, ``communication/authorization.md``, ``.../http-post.md``)."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable
from enum import Enum
from hashlib import blake2b
from typing import Generic, TypeVar

_Owner = TypeVar("_Owner")

#: The schemes of ``Authorization``, in lower case.
_SCHEMES = ("bearer ", "token ")
#: What programs send as their token where none is set in them, in lower case: their language's word for it.
_UNSET = {
    "undefined",
    "null",
    "(null)",
    "none",
    "nil",
    "<nil>",
    "nan",
    "false",
    "[object object]",
    '""',
    "''",
}
#: Tokens of one request that are looked at: one in ``Authorization`` and one in the query.
MAX_TOKENS = 2


class AuthenticationFailure(Enum):
    """Why a request was rejected; the value is the HTTP status of the answer."""

    MISSING = 401
    WRONG = 403


def presented_tokens(headers: Iterable[str], query: Iterable[str]) -> list[str]:
    """Return the different tokens that a request presents, without empty ones; the headers' come first.

    A header may be ``Bearer TOKEN``, ``Token TOKEN`` or ``TOKEN``; schemes ignore case (RFC 9110, 11.1).
    There may be more than :data:`MAX_TOKENS`; such a request is to be refused.

    :param headers: the values of ``Authorization``, one for each line.
    :param query: the values of ``access_token`` in the query.
    """
    presented = []
    for header in headers:
        value = header.strip()
        for scheme in _SCHEMES:
            if (value.lower() + " ").startswith(scheme):
                value = value[len(scheme) :].strip()
                break
        presented.append(value)
    presented.extend(query)
    return list(dict.fromkeys(token for token in presented if token))


def is_unset(token: str) -> bool:
    """Return whether a token is what programs send where none is set in them: ``undefined`` and the like."""
    return token.lower() in _UNSET


def tokens_equal(first: str, second: str) -> bool:
    """Return whether two tokens are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(first.encode("utf-8", "replace"), second.encode("utf-8", "replace"))


class Keyring(Generic[_Owner]):
    """Access tokens and who owns them; a lookup takes the same time for every owner.

    :param owners: owners (hashable) with their tokens; None for an owner without a token.
    """

    def __init__(self, owners: Iterable[tuple[_Owner, str | None]] = ()) -> None:
        # Tokens are looked up by a keyed hash, so that the time of a lookup reveals nothing of them.
        self._key = os.urandom(32)
        self._owner_by_digest: dict[bytes, _Owner] = {}
        self._digest_by_owner: dict[_Owner, bytes] = {}
        self._owners_without_token: list[_Owner] = []
        for owner, token in owners:
            self.add(owner, token)

    def add(self, owner: _Owner, token: str | None) -> None:
        """Add an owner, or replace the token of one that is present.

        Where several owners have the same token, or none, the one that was added last is found.
        """
        self.remove(owner)
        if token is None:
            self._owners_without_token.append(owner)
        else:
            digest = self._digest(token)
            self._owner_by_digest[digest] = owner
            self._digest_by_owner[owner] = digest

    def remove(self, owner: _Owner) -> None:
        """Remove an owner and its token; do nothing if it is not present."""
        digest = self._digest_by_owner.pop(owner, None)
        if digest is not None:
            # Another owner may have been given the same token since.
            if self._owner_by_digest.get(digest) == owner:
                del self._owner_by_digest[digest]
        elif owner in self._owners_without_token:
            self._owners_without_token.remove(owner)

    def _digest(self, token: str) -> bytes:
        return blake2b(token.encode("utf-8", "replace"), key=self._key, digest_size=32).digest()

    def owner_of(self, presented: list[str]) -> _Owner | AuthenticationFailure:
        """Return the owner of the first presented token that belongs to anybody, or why there is none.

        Without any token it returns the owner that has none (``MISSING`` if there is no such owner).

        :param presented: see :func:`presented_tokens`.
        """
        if not presented:
            without_token = self._owners_without_token
            return without_token[-1] if without_token else AuthenticationFailure.MISSING
        for candidate in presented:
            digest = self._digest(candidate)
            if digest in self._owner_by_digest:
                return self._owner_by_digest[digest]
        return AuthenticationFailure.WRONG

    def without_unset(self, presented: list[str]) -> list[str]:
        """Return the presented tokens but those that are none, see :func:`is_unset`, and nobody's token."""
        for one in presented:
            if is_unset(one):
                break
        else:
            return presented
        return [one for one in presented if not is_unset(one) or self._digest(one) in self._owner_by_digest]


def sign(secret: str, body: bytes) -> str:
    """Return the ``X-Signature`` of a body: ``sha1=`` and its HMAC-SHA1 in lower-case hexadecimal."""
    return "sha1=" + hmac.new(secret.encode("utf-8", "replace"), body, "sha1").hexdigest()


def is_signed(secret: str, body: bytes, signature: str) -> bool:
    """Return whether a body has that ``X-Signature``; its hexadecimal digits may be upper-case.

    The time does not depend on where the signatures differ.
    """
    return tokens_equal(sign(secret, body), signature.strip().lower())
