"""What the answers of receivers mean, and how they are shown: one line, short, without secrets. Pure."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from attrs import evolve, frozen

from lgtwist.alerts.alert import ReceiverAnswer
from lgtwist.runtime.logs import printable

#: What stands in place of a secret.
_STARS = "***"
_ANY_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}:(?:\\?/){2}[^\s\"'<>]*")
_MARKUP = re.compile(
    r"<(?:style|script)\b.{0,2000}?</(?:style|script)>|<[^<>]{0,1000}>", re.DOTALL | re.IGNORECASE
)
#: Parts of paths that are in everybody's URLs, and fewer characters than those of a secret.
_KNOWN_PARTS = {
    "api", "bot", "cgi-bin", "hook", "message", "open-apis", "push", "robot", "send",
    "sendMessage", "v1", "v2", "webhook",
}  # fmt: skip
_SHORTEST_URL_SECRET = 4
#: Characters of an answer in which secrets are looked for; it shows no others.
_READ_WORDS = 8_000
#: Seconds that a receiver may ask to wait.
_LONGEST_WAIT = 3600.0


@frozen
class BodyCode:
    """Where an answer's body tells whether the message was taken.

    :ivar name: the member that tells.
    :ivar success: its value for yes.
    :ivar words: the members that may say why not, the best first.
    :ivar former: the member that tells where ``name`` is missing; empty if there is none.
    """

    name: str
    success: int | bool
    words: tuple[str, ...]
    former: str = ""


FEISHU = BodyCode("code", 0, ("msg", "message"), "StatusCode")
DINGTALK = BodyCode("errcode", 0, ("errmsg", "message"))
WECOM = BodyCode("errcode", 0, ("errmsg",))
TELEGRAM = BodyCode("ok", True, ("description",))
BARK = BodyCode("code", 200, ("message",))
SERVERCHAN = BodyCode("code", 0, ("info", "message", "error"))


def judge_by_code(body_code: BodyCode, status: int, body: bytes) -> ReceiverAnswer:
    """Return what an answer means whose body has a code; HTTP's status may be 200 though it refuses."""
    if 300 <= status < 400:
        return _redirected(status)
    found = _answer_object(body)
    code = found.get(body_code.name, found.get(body_code.former)) if found is not None else None
    if (
        found is None
        or not isinstance(code, int)
        or isinstance(code, bool) is not isinstance(body_code.success, bool)
    ):
        if 200 <= status < 300:
            excerpt = _excerpt(body)
            without = f"an answer without {body_code.name}, so that it may be another server's"
            return ReceiverAnswer(False, status, f"{without}: {excerpt}" if excerpt else without)
        return judge_by_status(status, body)
    words = _first_words(found, body_code.words)
    if code == body_code.success and 200 <= status < 300:
        return ReceiverAnswer(True, status, words or f"{body_code.name} {json.dumps(code)}")
    error = found.get("error_code")
    shown = (
        f"{body_code.name} {code}" if not isinstance(code, bool) else f"error {error}" if error else "refused"
    )
    return ReceiverAnswer(
        False, status, f"{shown}: {words}" if words else shown, retry_after=_asked_to_wait(found)
    )


def judge_by_status(status: int, body: bytes) -> ReceiverAnswer:
    """Return what an answer means by HTTP's status alone."""
    if 300 <= status < 400:
        return _redirected(status)
    found = _answer_object(body)
    words = _first_words(found, ("error", "message", "msg", "detail", "reason")) if found is not None else ""
    words = words or _excerpt(body)
    shown = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    return ReceiverAnswer(200 <= status < 300, status, shown)


def _redirected(status: int) -> ReceiverAnswer:
    sentence = "the receiver sends us to another address, which is not followed: it would learn the secrets"
    return ReceiverAnswer(False, status, f"HTTP {status}: {sentence}")


def _answer_object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _first_words(found: dict[str, Any], names: Iterable[str]) -> str:
    for name in names:
        value = found.get(name)
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _excerpt(body: bytes) -> str:
    """Return the text of an answer's body, without HTML's elements."""
    text = body[:8_000].decode("utf-8", "replace")
    return " ".join(html.unescape(_MARKUP.sub(" ", text)).split())


def _asked_to_wait(found: dict[str, Any]) -> float | None:
    """Return Telegram's ``parameters.retry_after``."""
    parameters = found.get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    return _bounded_wait(seconds)


def seconds_to_wait(retry_after: str, now: float) -> float | None:
    """Return what ``Retry-After`` says, in seconds from now; None if it says nothing (RFC 9110, 10.2.3)."""
    value = retry_after.strip()
    if value.isascii() and value.isdecimal():
        return _bounded_wait(float(value))
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return _bounded_wait(moment.timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _bounded_wait(seconds: float) -> float:
    return float(min(max(seconds, 0.0), _LONGEST_WAIT))


def secrets_of_url(url: str) -> list[str]:
    """Return the parts of a URL that may be secrets: of its path, its query and its user."""
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query)
    except ValueError:
        return [url]
    found = [part for part in parts.path.split("/") if part not in _KNOWN_PARTS]
    found += [part[3:] for part in found if part.startswith("bot")]
    found += [part.partition(":")[2] for part in found if ":" in part]
    found += [part.removesuffix(".send") for part in found if part.endswith(".send")]
    found += [value for _name, value in pairs]
    found += [part for part in (parts.username, parts.password) if part]
    return [part for part in found if len(part) >= _SHORTEST_URL_SECRET]


class WordCleaner:
    """Makes what receivers say fit to be shown: one printable line without secrets and URLs.

    :param secrets: what must not be shown, in whatever form it is written.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            forms.update(form for form in _forms(secret) if form)
        longest_first = sorted(forms, key=len, reverse=True)
        pattern = "|".join(map(re.escape, longest_first))
        self._secrets = re.compile(pattern, re.IGNORECASE) if pattern else None
        self._longest = len(longest_first[0]) if longest_first else 0

    def clean(self, answer: ReceiverAnswer) -> ReceiverAnswer:
        """Return an answer with words of at most 200 characters that can be shown."""
        return evolve(answer, words=self.clean_words(answer.words))

    def clean_words(self, words: str) -> str:
        """Return words in one printable line of at most 200 characters, without secrets and URLs."""
        text = _ANY_ADDRESS.sub("(a URL)", words[:_READ_WORDS])
        if self._secrets is not None:
            text = self._secrets.sub(_STARS, text)
        if len(words) > _READ_WORDS:  # a part of a secret may be left at the end
            text = text[: max(0, len(text) - self._longest)]
        text = " ".join(text.split())
        return printable(text if len(text) <= 200 else f"{text[:199]}…")


def _forms(secret: str) -> set[str]:
    """Return how a secret may be written in an answer."""
    writers: tuple[Callable[[str], str], ...] = (
        str,
        quote,
        lambda text: quote(text, safe=""),
        html.escape,
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    )
    forms = set()
    for text in (secret, unquote(secret)):
        for write in writers:
            try:
                forms.add(write(text))
            except UnicodeError:
                continue
    return forms
