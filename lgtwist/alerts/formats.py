"""The request that carries a message, for each kind of receiver. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from attrs import field, frozen

from lgtwist.alerts.alert import AlertMessage, ReceiverAnswer
from lgtwist.alerts.answers import (
    BARK,
    DINGTALK,
    FEISHU,
    SERVERCHAN,
    TELEGRAM,
    WECOM,
    judge_by_code,
    judge_by_status,
)
from lgtwist.alerts.settings import AlertSettings, ReceiverKind
from lgtwist.alerts.signatures import sign_for_dingtalk, sign_for_feishu
from lgtwist.alerts.templates import json_text, webhook_body, without_surrogates
from lgtwist.onebot.auth import sign

#: Seconds that one try may take in all.
SEND_TIMEOUT = 10.0
#: What receivers take of a text: bytes in UTF-8 of a body or a text, and units of UTF-16. DingTalk and Feishu
#: take 20,000 bytes of JSON; Apple takes 4,096 bytes of all that Bark makes of it.
_DINGTALK_BYTES, _FEISHU_BYTES, _WECOM_BYTES, _NTFY_BYTES, _BARK_BYTES = 18_000, 18_000, 2_048, 4_000, 2_500
_TELEGRAM_UNITS, _SERVERCHAN_TITLE, _SERVERCHAN_BYTES, _TITLE = 4_096, 32, 30_000, 200
_SERVERCHAN_HOST = "https://sctapi.ftqq.com"
#: The headers of requests that nobody may be shown.
SECRET_HEADERS = ("Authorization", "X-Signature")


class UnusableReceiver(Exception):
    """A message cannot be sent with these settings; the argument is a sentence without secrets."""


@frozen
class ReceiverRequest:
    """An HTTP POST.

    :ivar url: where to; a secret.
    """

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False)


@frozen
class ReceiverFormat:
    """How a kind of receiver is spoken to over HTTP.

    :ivar request: makes the request of a message, at a time in seconds since the epoch; raises
        :class:`UnusableReceiver`.
    :ivar judge: tells what an answer means by its status and body; its words are not yet fit to be shown.
    :ivar by_status: whether HTTP's status alone tells whether the message was taken.
    """

    request: Callable[[AlertSettings, AlertMessage, float], ReceiverRequest]
    judge: Callable[[int, bytes], ReceiverAnswer]
    by_status: bool = False


def clean_message(message: AlertMessage) -> AlertMessage:
    r"""Return a message that every format can hold: its title is one line, its lines end with ``\n``.

    Control characters and lone surrogates are replaced by U+FFFD.
    """
    title = " ".join(_without_controls(message.title).split()) or "lgtwist"
    text = _without_controls(message.text.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")
    return AlertMessage(title, text, message.alerts)


def _without_controls(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        "\ufffd" if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f" else c
        for c in without_surrogates(text)
    )


def named_title(message: AlertMessage) -> str:
    """Return the title of a message, with the word ``lgtwist`` in it."""
    return message.title if "lgtwist" in message.title.lower() else f"[lgtwist] {message.title}"


def plain_text(message: AlertMessage) -> str:
    """Return title and text as one text, for receivers that have no titles.

    The word ``lgtwist`` is in it: Feishu's and DingTalk's bots can demand that a keyword is.
    """
    title = named_title(message)
    return f"{title}\n{message.text}" if message.text else title


def cut_to_bytes(text: str, most: int, size: Callable[[str], int] = lambda text: len(text.encode())) -> str:
    """Return the longest begin of a text that has at most ``most`` bytes in UTF-8; "…" ends what is cut.

    :param size: returns the bytes of a text; it does not fall as a text grows.
    """
    if size(text) <= most:
        return text
    low, high = 0, min(len(text), most)
    while low < high:
        middle = (low + high + 1) // 2
        if size(f"{text[:middle]}…") <= most:
            low = middle
        else:
            high = middle - 1
    return f"{text[:low]}…"


def _utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _bytes_of_json(text: str) -> int:
    return len(json_text(text).encode())


def _cut_title(title: str, most: int) -> str:
    return title if len(title) <= most else f"{title[: most - 1]}…"


def _begins(message: AlertMessage) -> bool:
    """Return whether a message tells that something begins to be wrong."""
    return any(alert.begins for alert in message.alerts)


def _json_request(url: str, value: Any, headers: dict[str, str] | None = None) -> ReceiverRequest:
    return ReceiverRequest(url, json_text(value).encode(), _headers("application/json", headers))


def _headers(content_type: str, more: dict[str, str] | None = None) -> dict[str, str]:
    return {"Content-Type": content_type, "User-Agent": "lgtwist", **(more or {})}


def _split_query(url: str, *names: str) -> tuple[str, dict[str, str]]:
    """Take parameters out of a URL's query; the others stay as they are written.

    :param names: of the parameters; all if there are none.
    :returns: the URL without them, and they.
    """
    parts = urlsplit(url)
    others, taken = [], {}
    for pair in filter(None, parts.query.split("&")):
        [(name, value)] = parse_qsl(pair, keep_blank_values=True) or [(pair, "")]
        if not names or name in names:
            taken[name] = value
        else:
            others.append(pair)
    return urlunsplit(parts._replace(query="&".join(others), fragment="")), taken


def _with_query(url: str, values: dict[str, str]) -> str:
    """Return a URL with more parameters, each quoted."""
    more = urlencode(values)
    return f"{url}{'&' if urlsplit(url).query else '?'}{more}"


def _webhook(settings: AlertSettings, message: AlertMessage, now: float) -> ReceiverRequest:
    body = webhook_body(message, settings.template).encode()
    signed = {} if settings.secret is None else {"X-Signature": sign(settings.secret, body)}
    return ReceiverRequest(settings.url, body, _headers("application/json", signed))


def _feishu(settings: AlertSettings, message: AlertMessage, now: float) -> ReceiverRequest:
    # Feishu reads <at user_id="all"></at> within texts: nobody's name or reason may call a whole group.
    text = plain_text(message).replace("<at", "\uff1cat")
    value: dict[str, Any] = {
        "msg_type": "text",
        "content": {"text": cut_to_bytes(text, _FEISHU_BYTES, _bytes_of_json)},
    }
    if settings.secret is not None:
        timestamp = int(now)
        value = {"timestamp": str(timestamp), "sign": sign_for_feishu(settings.secret, timestamp), **value}
    return _json_request(settings.url, value)


def _dingtalk(settings: AlertSettings, message: AlertMessage, now: float) -> ReceiverRequest:
    url = settings.url
    if settings.secret is not None:
        timestamp = int(now * 1000)
        url, _old = _split_query(url, "timestamp", "sign")
        signature = sign_for_dingtalk(settings.secret, timestamp)
        url = _with_query(url, {"timestamp": str(timestamp), "sign": signature})
    text = cut_to_bytes(plain_text(message), _DINGTALK_BYTES, _bytes_of_json)
    return _json_request(url, {"msgtype": "text", "text": {"content": text}})


def _wecom(settings: AlertSettings, message: AlertMessage, now: float) -> ReceiverRequest:
    text = plain_text(message).replace("<@", "\uff1c@")  # WeCom reads <@userid> as Feishu reads <at ...>
    text = cut_to_bytes(text, _WECOM_BYTES)
    return _json_request(settings.url, {"msgtype": "text", "text": {"content": text}})


def _telegram(settings: AlertSettings, message: AlertMessage, now: float) -> ReceiverRequest:
    url, in_query = _split_query(settings.url)
    value: dict[str, Any] = {
        **in_query,
        # In a group @name calls somebody; with a space of no width behind the @ it does not.
        "text": cut_to_bytes(plain_text(message).replace("@", "@\u200b"), _TELEGRAM_UNITS, _utf16_units),
    }
    if settings.to:
        value["chat_id"] = settings.to
    if not value.get("chat_id"):
        raise UnusableReceiver("the chat is not known: it belongs into to, or into the URL as ?chat_id=...")
    value.pop("parse_mode", None)  # a text with * or < would be refused
    base = url.rstrip("/").removesuffix("/sendMessage")
    if not urlsplit(base).path.rpartition("/")[2].startswith("bot"):
        if not settings.secret:
            raise UnusableReceiver("the token of the Telegram bot is not known: it belongs into secret")
        base = f"{base}/bot{quote(settings.secret.strip().removeprefix('bot'), safe=':')}"
    return _json_request(f"{base}/sendMessage", value)


def _ntfy(settings: AlertSettings, message: AlertMessage, now: float) -> ReceiverRequest:
    parts = urlsplit(settings.url)
    path, topic = parts.path.rstrip("/"), settings.to
    if not topic:
        path, _slash, last = path.rpartition("/")
        topic = unquote(last)
    else:
        path = path.removesuffix(f"/{topic}")  # given in both places
    if not topic:
        raise UnusableReceiver("the topic is not known: it belongs into to, or behind the last / of the URL")
    begins = _begins(message)
    value: dict[str, Any] = {
        "topic": topic,
        "title": _cut_title(message.title, _TITLE),
        "message": cut_to_bytes(message.text or message.title, _NTFY_BYTES),
        "priority": 4 if begins else 3,
        "tags": ["rotating_light"] if begins else ["white_check_mark"] if message.alerts else ["bell"],
    }
    headers = {}
    if settings.secret:
        user, colon, _password = settings.secret.partition(":")
        by_user = b64encode(settings.secret.encode()).decode("ascii")
        headers["Authorization"] = f"Basic {by_user}" if user and colon else f"Bearer {settings.secret}"
    return _json_request(urlunsplit(parts._replace(path=f"{path}/", fragment="")), value, headers)


def _bark(settings: AlertSettings, message: AlertMessage, now: float) -> ReceiverRequest:
    url, in_query = _split_query(settings.url)
    parts = urlsplit(url)
    segments = [part for part in parts.path.split("/") if part]
    if parts.hostname == "api.day.app":
        segments = segments[:1]  # the app's example has a text behind the key
    value: dict[str, Any] = {"group": "lgtwist", "level": "timeSensitive" if _begins(message) else "active"}
    value.update(in_query)
    if settings.secret:
        value["device_key"] = settings.secret
        segments = [*(segments[:-1] if segments[-1:] == ["push"] else segments), "push"]
    elif not segments:
        raise UnusableReceiver("the key of the device is not known: it belongs behind the / of the URL")
    value["title"] = _cut_title(message.title, _TITLE)
    value["body"] = cut_to_bytes(message.text or message.title, _BARK_BYTES, _bytes_of_json)
    return _json_request(urlunsplit(parts._replace(path=f"/{'/'.join(segments)}")), value)


def _serverchan(settings: AlertSettings, message: AlertMessage, now: float) -> ReceiverRequest:
    # It is Markdown: a peer's reason is to bring neither links nor pictures nor HTML.
    text = message.text.replace("[", "\\[").replace("<", "\\<")
    text = cut_to_bytes(text, _SERVERCHAN_BYTES, _bytes_of_json)
    value = {
        "title": _cut_title(message.title, _SERVERCHAN_TITLE),
        "desp": text.replace("\n", "\n\n"),  # Markdown joins lines
    }
    return _json_request(_serverchan_url(settings), value)


def _serverchan_url(settings: AlertSettings) -> str:
    """Return where a message is posted: the URL as it is, or that of the key in ``secret``."""
    key = (settings.secret or "").strip().removesuffix(".send")
    if not key or settings.url.rstrip("/").endswith(".send"):
        if urlsplit(settings.url).path in ("", "/"):
            raise UnusableReceiver("the key is not known: the URL ends with it and .send")
        return settings.url
    if key.startswith("sctp"):
        number = key[4:].partition("t")[0]
        if not (number.isascii() and number.isdecimal()):
            raise UnusableReceiver(
                "the key in secret is none of ServerChan's: sctp is followed by a number and t"
            )
        base = settings.url.rstrip("/") if settings.url else f"https://{number}.push.ft07.com/send"
    else:
        base = settings.url.rstrip("/") or _SERVERCHAN_HOST
    return f"{base}/{quote(key, safe='')}.send"


#: Of the kinds that are spoken to over HTTP.
RECEIVER_FORMATS: dict[ReceiverKind, ReceiverFormat] = {
    ReceiverKind.WEBHOOK: ReceiverFormat(_webhook, judge_by_status, by_status=True),
    ReceiverKind.FEISHU: ReceiverFormat(_feishu, partial(judge_by_code, FEISHU)),
    ReceiverKind.DINGTALK: ReceiverFormat(_dingtalk, partial(judge_by_code, DINGTALK)),
    ReceiverKind.WECOM: ReceiverFormat(_wecom, partial(judge_by_code, WECOM)),
    ReceiverKind.TELEGRAM: ReceiverFormat(_telegram, partial(judge_by_code, TELEGRAM)),
    ReceiverKind.NTFY: ReceiverFormat(_ntfy, judge_by_status, by_status=True),
    ReceiverKind.BARK: ReceiverFormat(_bark, partial(judge_by_code, BARK)),
    ReceiverKind.SERVERCHAN: ReceiverFormat(_serverchan, partial(judge_by_code, SERVERCHAN)),
}
