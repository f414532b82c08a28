"""The cookie of a person who has logged in. Pure.

It is signed by a key that is derived from the admin token, so that sessions outlive a restart and end when
the token changes. Nothing is stored but a number, which is counted up to end all sessions.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

#: The cookie's name.
COOKIE = "lgtwist_console"
#: Seconds that a session lasts after it was used last, and after which a cookie that is used is renewed.
LIFETIME = 30 * 86400
_RENEW_AFTER = 86400
#: Cookies of one request that are looked at: another program on this host may have some of the same name.
_MOST_COOKIES = 20


class Sessions:
    """Makes and checks cookies' values: ``<expires>.<made>.<signature>``.

    ``expires`` and ``made``, when the token was shown, are seconds since the epoch; ``signature`` is a
    hexadecimal HMAC-SHA256 of both. A cookie that takes the place of an older one keeps its ``made``.

    :param generation: part of the key; cookies of other generations are not valid.
    :ivar generation: the same; may be replaced, which ends all sessions.
    """

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation

    def make(self, token: str, now: float, made: int | None = None) -> str:
        """Return the value of a new cookie.

        :param token: the admin token.
        :param now: seconds since the epoch.
        :param made: when the token was shown, in seconds since the epoch; None for now.
        """
        signed = f"{int(now) + LIFETIME}.{int(now) if made is None else made}"
        return f"{signed}.{self._sign(token, signed)}"

    def expiry(self, value: str, token: str, now: float) -> int | None:
        """Return when a cookie expires, in seconds since the epoch; None if it is not ours or has expired.

        :param value: the cookie's.
        :param token: the admin token.
        :param now: seconds since the epoch.
        """
        signed, _dot, signature = value.rpartition(".")
        text = signed.partition(".")[0]
        if not (text.isascii() and text.isdigit()) or len(text) > 12 or len(signed) > 30:
            return None
        expires = int(text)
        expected = self._sign(token, signed).encode()
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected):
            return None
        return expires if now < expires <= now + LIFETIME + 60 else None

    def _sign(self, token: str, signed: str) -> str:
        key = hmac.digest(token.encode("utf-8", "replace"), b"lgtwist console %d" % self.generation, "sha256")
        return hmac.new(key, signed.encode("utf-8", "replace"), sha256).hexdigest()


def made_at(value: str) -> int:
    """Return when the token was shown for a cookie, in seconds since the epoch; 0 if it does not say.

    :param value: the cookie's, whose signature was checked.
    """
    made = value.split(".")[1]
    return int(made) if made.isascii() and made.isdigit() else 0


def is_old(expires: int, now: float) -> bool:
    """Return whether a cookie that expires then is to be renewed: it was made more than a day ago."""
    return expires - now < LIFETIME - _RENEW_AFTER


def cookies(headers: Iterable[str]) -> list[str]:
    """Return the values of our cookie in the ``Cookie`` headers of a request (RFC 6265, 4.2)."""
    found = []
    for header in headers:
        for pair in header.split(";"):
            name, equals, value = pair.strip().partition("=")
            if equals and name == COOKIE:
                found.append(value.strip('"'))
    return found[:_MOST_COOKIES]


def set_cookie(value: str, *, secure: bool) -> str:
    """Return a ``Set-Cookie`` header (RFC 6265, 4.1).

    It has no ``Path``: the browser takes that of the request, so that it works below any prefix of a proxy.

    :param value: of the cookie; empty to remove it.
    :param secure: whether the browser talks TLS.
    """
    age = LIFETIME if value else 0
    return f"{COOKIE}={value}; Max-Age={age}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
