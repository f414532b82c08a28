"""What people read of alerts, in Chinese and in English. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from lgtwist.alerts.alert import Alert, AlertMessage, Rule

#: Returns a reason, which is an English sentence, in a language, ``zh`` or ``en``.
Reworded = Callable[[str, str], str]


def as_it_is(reason: str, language: str) -> str:
    """Return a reason in English, whatever the language is."""
    return reason


#: Every title has it, also as the keyword that some robots of chats look for.
_TITLE_BEGINS = "[lgtwist] "
#: Lines of a digest.
_DIGEST_LINES = 20
#: Characters of a title, and of a reason.
_LONGEST_TITLE, _LONGEST_REASON = 60, 200

#: By language, rule and whether it begins: the title, and the first line.
_ALERT_TITLES: dict[str, dict[tuple[Rule, bool], str]] = {
    "zh": {
        (Rule.OFFLINE, True): "账号 {account} 离线",
        (Rule.OFFLINE, False): "账号 {account} 已恢复在线",
        (Rule.AWAY, True): "机器人 {bot} 断开",
        (Rule.AWAY, False): "机器人 {bot} 已恢复连接",
        (Rule.BACKLOG, True): "机器人 {bot} 积压 {backlog} 条事件",
        (Rule.BACKLOG, False): "机器人 {bot} 的积压已消退",
        (Rule.LOST, True): "{of_bot}有事件丢失",
        (Rule.LOST, False): "{of_bot}不再丢失事件",
        (Rule.JOURNAL, True): "事件日志无法写入",
        (Rule.JOURNAL, False): "事件日志已恢复写入",
        (Rule.TOKENS, True): "有人在猜测令牌",
        (Rule.TOKENS, False): "不再有人猜测令牌",
    },
    "en": {
        (Rule.OFFLINE, True): "Account {account} is offline",
        (Rule.OFFLINE, False): "Account {account} is online again",
        (Rule.AWAY, True): "Bot {bot} is away",
        (Rule.AWAY, False): "Bot {bot} is connected again",
        (Rule.BACKLOG, True): "{backlog} events wait for bot {bot}",
        (Rule.BACKLOG, False): "The backlog of bot {bot} is gone",
        (Rule.LOST, True): "Events{of_bot} were lost",
        (Rule.LOST, False): "No more events{of_bot} are lost",
        (Rule.JOURNAL, True): "The journal cannot be written",
        (Rule.JOURNAL, False): "The journal can be written again",
        (Rule.TOKENS, True): "Somebody guesses tokens",
        (Rule.TOKENS, False): "Nobody guesses tokens any more",
    },
}
_ALERT_TEXTS: dict[str, dict[tuple[Rule, bool], str]] = {
    "zh": {
        (Rule.OFFLINE, True): "QQ 账号 {account} 已离线 {lasting}。",
        (Rule.OFFLINE, False): "QQ 账号 {account} 恢复在线，此前离线 {lasting}。",
        (Rule.AWAY, True): "机器人 {bot} 已 {lasting} 没有连接。",
        (Rule.AWAY, False): "机器人 {bot} 恢复连接，此前断开 {lasting}。",
        (Rule.BACKLOG, True): "账号 {account} 有 {backlog} 条事件等待机器人 {bot} 确认。",
        (Rule.BACKLOG, False): "账号 {account} 等待机器人 {bot} 确认的事件已减少，积压持续了 {lasting}。",
        (Rule.LOST, True): "{of_bot}丢失了 {events} 条事件：{cause}。",
        (Rule.LOST, False): "{of_bot}五分钟内没有再丢失事件；共丢失 {events} 条：{cause}。",
        (Rule.JOURNAL, True): "至少一次投递的事件日志已 {lasting} 无法写入，事件暂存在内存中。",
        (Rule.JOURNAL, False): "事件日志恢复写入，此前 {lasting} 无法写入。",
        (
            Rule.TOKENS,
            True,
        ): "一分钟内有 {wrong} 次错误的令牌，来自 {addresses}；也可能是某个程序的令牌填错了。",
        (Rule.TOKENS, False): "五分钟内没有再出现大量错误的令牌（此前来自 {addresses}）。",
    },
    "en": {
        (Rule.OFFLINE, True): "Account {account} has been offline for {lasting}.",
        (Rule.OFFLINE, False): "Account {account} is online again after {lasting}.",
        (Rule.AWAY, True): "Bot {bot} has not been connected for {lasting}.",
        (Rule.AWAY, False): "Bot {bot} is connected again after {lasting}.",
        (Rule.BACKLOG, True): "{backlog} events of account {account} wait for bot {bot} to confirm them.",
        (Rule.BACKLOG, False): (
            "Fewer events of account {account} wait for bot {bot}; the backlog lasted {lasting}."
        ),
        (Rule.LOST, True): "{events} events{of_bot} were lost: {cause}.",
        (Rule.LOST, False): "No event{of_bot} was lost for five minutes; {events} were lost in all: {cause}.",
        (Rule.JOURNAL, True): (
            "The journal of at-least-once delivery could not be written for {lasting}; events wait in memory."
        ),
        (Rule.JOURNAL, False): "The journal can be written again after {lasting}.",
        (Rule.TOKENS, True): (
            "{wrong} wrong tokens within a minute, from {addresses}; perhaps a program has a wrong one."
        ),
        (Rule.TOKENS, False): "No more wrong tokens for five minutes (they came from {addresses}).",
    },
}
#: Why events were lost, by the words of ``lost`` of the facts.
_CAUSES: dict[str, dict[str, str]] = {
    "zh": {
        "journal": "事件日志写不下",
        "retention": "机器人来取之前，已超过保留期限或大小",
        "damaged": "事件日志的文件有损坏",
        "refused": "机器人反复拒绝或处理失败",
        "dropped": "机器人读取太慢",
    },
    "en": {
        "journal": "the journal could not take them",
        "retention": "they were older than retention, or over max_size, before the bot came for them",
        "damaged": "the journal's file is damaged",
        "refused": "the bot refused them again and again",
        "dropped": "the bot reads too slowly",
    },
}
_ALERT_WORDS: dict[str, dict[str, str]] = {
    "zh": {
        "since": "自：{time}",
        "at": "时间：{time}",
        "reason": "原因：{reason}",
        "of_bot": "机器人 {bot} ",
        "digest": "{count} 条告警",
        "more": "……另有 {count} 条",
        "and": "、",
        "others": "等另外 {count} 个地址",
        "test_title": "[lgtwist] 测试消息",
        "test_text": "收到这条消息，说明 lgtwist 的告警可以送达。",
        "units": "天 小时 分钟 秒",
    },
    "en": {
        "since": "Since: {time}",
        "at": "Time: {time}",
        "reason": "Reason: {reason}",
        "of_bot": " for bot {bot}",
        "digest": "{count} alerts",
        "more": "... and {count} more",
        "and": ", ",
        "others": "and {count} more addresses",
        "test_title": "[lgtwist] Test message",
        "test_text": "This message says that the alerts of lgtwist arrive.",
        "units": "d h min s",
    },
}


def alert_message(alert: Alert, language: str, wall: float, reworded: Reworded = as_it_is) -> AlertMessage:
    """Return the message about one alert.

    :param wall: now, in seconds since the epoch.
    """
    values, words = _text_values(alert, language, wall), _ALERT_WORDS[language]
    key = (alert.rule, alert.begins)
    lines = [_ALERT_TEXTS[language][key].format_map(values)]
    if alert.begins and alert.reason:
        reason = reworded(alert.reason, language)[:_LONGEST_REASON]
        lines.append(words["reason"].format(reason=reason))
    lines.append(words["since" if alert.begins else "at"].format(time=_local(alert.since)))
    return AlertMessage(_TITLE_BEGINS + _alert_title(alert, language, values), "\n".join(lines), (alert,))


def digest_message(
    alerts: Sequence[Alert], language: str, wall: float, reworded: Reworded = as_it_is, *, left_out: int = 0
) -> AlertMessage:
    """Return one message about several alerts, with a line for each.

    :param left_out: how many more there were.
    """
    words, lines = _ALERT_WORDS[language], []
    for alert in alerts[:_DIGEST_LINES]:
        line = f"{_local(alert.since)} {_alert_title(alert, language, _text_values(alert, language, wall))}"
        if alert.begins and alert.reason:
            line += f" ({reworded(alert.reason, language)[:_LONGEST_REASON]})"
        lines.append(line)
    more = left_out + max(0, len(alerts) - _DIGEST_LINES)
    if more:
        lines.append(words["more"].format(count=more))
    title = _TITLE_BEGINS + words["digest"].format(count=len(alerts) + left_out)
    return AlertMessage(title, "\n".join(lines), tuple(alerts))


def test_message(language: str) -> AlertMessage:
    """Return the message of a test."""
    words = _ALERT_WORDS[language]
    return AlertMessage(words["test_title"], words["test_text"])


def cause_words(cause: str) -> str:
    """Return in English why events were lost; a cause that is not known as it is."""
    return _CAUSES["en"].get(cause, cause)


def duration_text(seconds: float, language: str) -> str:
    """Return how long something lasts, in the two greatest units that it has."""
    whole, units = max(0, int(seconds)), _ALERT_WORDS[language]["units"].split()
    numbers = (whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60)
    first = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
    shown = [
        f"{numbers[at]} {units[at]}" for at in range(first, min(first + 2, 4)) if numbers[at] or at == first
    ]
    return " ".join(shown)


def _local(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _alert_title(alert: Alert, language: str, values: dict[str, Any]) -> str:
    """Return what an alert is in a few words, as a title is without :data:`_TITLE_BEGINS`."""
    return _ALERT_TITLES[language][(alert.rule, alert.begins)].format_map(values)[:_LONGEST_TITLE]


def _text_values(alert: Alert, language: str, wall: float) -> dict[str, Any]:
    words, known = _ALERT_WORDS[language], alert.values
    cause = str(known.get("cause", ""))
    addresses = words["and"].join(known.get("addresses", ()))
    if known.get("more"):
        addresses += words["and"] + words["others"].format(count=known["more"])
    return {
        "account": known.get("account", alert.subject),
        "bot": alert.subject,
        "of_bot": words["of_bot"].format(bot=alert.subject) if alert.subject else "",
        "backlog": known.get("backlog", 0),
        "events": known.get("events", 0),
        "wrong": known.get("wrong", 0),
        "cause": _CAUSES[language].get(cause, cause),
        "addresses": addresses,
        "lasting": duration_text(known.get("lasted", wall - alert.since), language),
    }
