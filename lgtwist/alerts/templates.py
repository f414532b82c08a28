"""The body of a webhook: all that is known as one JSON object, or what a template makes of it. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from lgtwist.alerts.alert import Alert, AlertMessage, Rule
from lgtwist.alerts.texts import cause_words

#: What a template may name, with values as a check fills them in.
_SAMPLE: dict[str, Any] = {
    "event": "offline",
    "recovered": False,
    "account": 10001,
    "bot": "astrbot",
    "online": False,
    "reason": "x",
    "since": 1700000000,
    "title": "x",
    "text": "x",
    "alerts": [],
    "values": {},
}
#: A template's length in characters.
_LONGEST_TEMPLATE = 64 * 1024
#: An escaped character, the begin or end of a string, or a placeholder.
_TEMPLATE_PART = re.compile(r'\\.|"|\{([A-Za-z_][A-Za-z0-9_]*)\}', re.DOTALL)


def webhook_values(message: AlertMessage) -> dict[str, Any]:
    """Return what a webhook is told of a message, by the names that a template has for it.

    What several alerts do not have in common is None. ``event`` is ``test`` for a test, and ``digest`` where
    alerts of several rules are told at once.
    """
    each = [_alert_values(alert) for alert in message.alerts]
    common: dict[str, Any] = dict.fromkeys(
        ("event", "recovered", "account", "bot", "online", "reason", "since")
    )
    if each:
        common = {
            name: each[0][name] for name in common if all(one[name] == each[0][name] for one in each)
        } | {name: None for name in common if any(one[name] != each[0][name] for one in each)}
    if common["event"] is None:
        common["event"] = "digest" if each else "test"
    return {
        **common,
        "title": message.title,
        "text": message.text,
        "alerts": each,
        "values": each[0]["values"] if len(each) == 1 else {},
    }


def _alert_values(alert: Alert) -> dict[str, Any]:
    account = alert.values.get("account")
    if account is None and alert.rule is Rule.OFFLINE:
        account = int(alert.subject) if alert.subject.isdecimal() else alert.subject
    bot = alert.values.get("bot")
    if bot is None and alert.rule in (Rule.AWAY, Rule.BACKLOG, Rule.LOST):
        bot = alert.subject or None
    return {
        "event": alert.rule.value,
        "recovered": not alert.begins,
        "account": account,
        "bot": bot,
        "online": not alert.begins if alert.rule in (Rule.OFFLINE, Rule.AWAY) else None,
        "reason": alert.reason or cause_words(str(alert.values.get("cause", ""))),
        "since": int(alert.since) if math.isfinite(alert.since) else None,
        "values": dict(alert.values),
    }


def webhook_body(message: AlertMessage, template: str | None) -> str:
    """Return the body of a webhook.

    :param template: see :func:`fill_template`; None for one JSON object of all that is known.
    """
    values = webhook_values(message)
    return json_text(values) if template is None else fill_template(template, values)


def fill_template(template: str, values: Mapping[str, Any]) -> str:
    r"""Return a template with ``{name}`` replaced by values, so that a template that is JSON stays JSON.

    Within a JSON string a value is written as its text with ``"``, ``\`` and control characters escaped,
    nothing for None; outside of strings it is a whole JSON value. What a value holds is never taken for a
    placeholder. Names without a value stay as they are.
    """
    within = False

    def replace(match: re.Match[str]) -> str:
        nonlocal within
        found, name = match[0], match[1]
        if found == '"':
            within = not within
        if name is None or name not in values:
            return found
        value = values[name]
        if not within:
            return json_text(value)
        if value is None:
            return ""
        return json_text(value if isinstance(value, str) else json_text(value))[1:-1]

    return _TEMPLATE_PART.sub(replace, template)


def check_template(template: str) -> list[str]:
    """Return what is wrong with a template, a sentence each; empty if it can be used."""
    if not template.strip():
        return ["the template is empty"]
    if len(template) > _LONGEST_TEMPLATE:
        return [f"the template has {len(template)} characters, {_LONGEST_TEMPLATE} are allowed"]
    mistakes = []
    for name in dict.fromkeys(match[1] for match in _TEMPLATE_PART.finditer(template) if match[1]):
        if name not in _SAMPLE:
            close = get_close_matches(name.lower(), _SAMPLE, 1)
            meant = f"; is {{{close[0]}}} meant?" if close else f"; there are {', '.join(_SAMPLE)}"
            mistakes.append(f"{{{name[:40]}}} is no placeholder{meant}")
    if mistakes:
        return mistakes
    wrong = _why_no_json(fill_template(template, _SAMPLE))
    if wrong:
        return [f"the template is no JSON once its placeholders are filled in: {wrong}"]
    if _why_no_json(fill_template(template, dict.fromkeys(_SAMPLE))):
        return ["the template is no JSON where a value is not known; a placeholder as a key stands in quotes"]
    return []


def _why_no_json(text: str) -> str:
    """Return why a text is no JSON (RFC 8259); empty if it is."""
    try:
        json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        return "it is nested too deep"
    except ValueError as error:  # of a number that is too long as well
        return str(error)
    return ""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no value of JSON")


def json_text(value: Any) -> str:
    """Return a value as JSON; numbers that JSON does not have are null, and lone surrogates U+FFFD."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {without_surrogates(str(name)): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return without_surrogates(str(value))


def without_surrogates(text: str) -> str:
    """Return ``text`` with U+FFFD for each lone surrogate, so that it has a UTF-8 form."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
