"""How Feishu and DingTalk want messages signed; ``X-Signature`` is made by ``onebot.auth.sign``. Pure."""

from __future__ import annotations

import hmac
from base64 import b64encode


def sign_for_feishu(secret: str, timestamp: int) -> str:
    r"""Return the ``sign`` of a Feishu bot: the HMAC-SHA256 of nothing, in Base64.

    Its key is ``timestamp\nsecret``.

    :param timestamp: seconds since the epoch.
    """
    return b64encode(hmac.digest(f"{timestamp}\n{secret}".encode(), b"", "sha256")).decode("ascii")


def sign_for_dingtalk(secret: str, timestamp: int) -> str:
    r"""Return the ``sign`` of a DingTalk bot: the HMAC-SHA256 of ``timestamp\nsecret``, in Base64.

    Its key is the secret. It is not quoted for a URL yet.

    :param timestamp: milliseconds since the epoch.
    """
    return b64encode(hmac.digest(secret.encode(), f"{timestamp}\n{secret}".encode(), "sha256")).decode(
        "ascii"
    )
