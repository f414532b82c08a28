"""What people read of alerts."""

from __future__ import annotations

import time
from itertools import product

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts.alert import Alert, Rule
from lgtwist.alerts.texts import alert_message, digest_message, duration_text, test_message

NOW = 1_700_000_000.0
#: What the rules tell with an alert, by its rule.
VALUES = {
    Rule.BACKLOG: {"account": 10001, "backlog": 1200, "oldest": NOW - 60},
    Rule.LOST: {"cause": "retention", "events": 7},
    Rule.TOKENS: {"addresses": ["192.0.2.1", "192.0.2.2"], "more": 3, "wrong": 99},
}
SUBJECTS = {Rule.OFFLINE: "10001", Rule.AWAY: "nonebot", Rule.BACKLOG: "nonebot"}


def alert(rule: Rule, begins: bool, reason: str = "") -> Alert:
    values = dict(VALUES.get(rule, {}))
    if not begins:
        values["lasted"] = 3700
    return Alert(rule, SUBJECTS.get(rule, ""), begins, NOW - 120, reason, values)


class TextTests(SynchronousTestCase):
    def test_each(self) -> None:
        """Each has a short title of one line and a text, in both languages, without a hole."""
        seen = set()
        for language, rule, begins in product(("zh", "en"), Rule, (True, False)):
            message = alert_message(alert(rule, begins), language, NOW)
            self.assertNotIn("\n", message.title)
            self.assertLessEqual(len(message.title), 45)
            self.assertNotRegex(message.title + message.text, r"[{}]|None")
            self.assertEqual(message.alerts, (alert(rule, begins),))
            self.assertTrue(message.title.startswith("[lgtwist] "))
            seen.add(message.title)
            subject = SUBJECTS.get(rule, "")
            self.assertIn(subject, message.title)
            self.assertIn(subject, message.text)
            self.assertEqual(language == "en", (message.title + message.text).isascii())
        self.assertEqual(len(seen), 2 * 2 * len(Rule))

    def test_losses_of_a_bot(self) -> None:
        """Whose events were lost is told, where they were for one bot."""
        for begins in (True, False):
            lost = evolve(alert(Rule.LOST, begins), subject="nonebot")
            for language in ("zh", "en"):
                message = alert_message(lost, language, NOW)
                self.assertIn("nonebot", message.title)
                self.assertIn("nonebot", message.text)

    def test_words(self) -> None:
        """How long, since when by the clock on the wall, and why."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW - 120))
        message = alert_message(alert(Rule.OFFLINE, True, "it left"), "en", NOW)
        self.assertEqual(message.title, "[lgtwist] Account 10001 is offline")
        self.assertEqual(
            message.text,
            f"Account 10001 has been offline for 2 min.\nReason: it left\nSince: {since}",
        )
        message = alert_message(alert(Rule.OFFLINE, True, "it left"), "zh", NOW, lambda _reason, _l: "掉线")
        self.assertEqual(message.text, f"QQ 账号 10001 已离线 2 分钟。\n原因：掉线\n自：{since}")
        message = alert_message(alert(Rule.OFFLINE, False), "zh", NOW)
        self.assertEqual(message.text, f"QQ 账号 10001 恢复在线，此前离线 1 小时 1 分钟。\n时间：{since}")
        message = alert_message(alert(Rule.BACKLOG, True), "zh", NOW)
        self.assertIn("账号 10001 有 1200 条事件等待机器人 nonebot 确认", message.text)
        message = alert_message(alert(Rule.TOKENS, True), "en", NOW)
        self.assertIn("99 wrong tokens within a minute, from 192.0.2.1, 192.0.2.2, and 3 more", message.text)

    def test_long_reason(self) -> None:
        """What a peer said is bounded, and so is a bot's name in the title."""
        message = alert_message(alert(Rule.OFFLINE, True, "x" * 5000), "en", NOW)
        self.assertLess(len(message.text), 400)
        named = Alert(Rule.AWAY, "y" * 500, True, NOW)
        self.assertLessEqual(len(alert_message(named, "zh", NOW).title), 70)

    def test_braces(self) -> None:
        """A name with braces is a name."""
        named = Alert(Rule.AWAY, "{bot} {0} %s", True, NOW)
        self.assertIn("{bot} {0} %s", alert_message(named, "zh", NOW).title)

    def test_durations(self) -> None:
        """The two greatest units, without zeros."""
        for seconds, english, chinese in (
            (0, "0 s", "0 秒"),
            (59.9, "59 s", "59 秒"),
            (60, "1 min", "1 分钟"),
            (3600, "1 h", "1 小时"),
            (3661, "1 h 1 min", "1 小时 1 分钟"),
            (86400 * 3 + 59, "3 d", "3 天"),
            (-5, "0 s", "0 秒"),
        ):
            self.assertEqual(duration_text(seconds, "en"), english)
            self.assertEqual(duration_text(seconds, "zh"), chinese)

    def test_digest(self) -> None:
        """A digest has a line for each, and says how many more there are."""
        many = [alert(Rule.OFFLINE, True, "it left")] * 25
        message = digest_message(many, "zh", NOW, left_out=5)
        lines = message.text.splitlines()
        self.assertEqual((message.title, len(lines)), ("[lgtwist] 30 条告警", 21))
        self.assertIn("账号 10001 离线 (it left)", lines[0])
        self.assertEqual(lines[-1], "……另有 10 条")

    def test_test(self) -> None:
        """A test says that it is one."""
        self.assertIn("测试", test_message("zh").title)
        self.assertIn("Test", test_message("en").title)
