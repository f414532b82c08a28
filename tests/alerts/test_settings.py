"""One of ``[[alerts]]``: what each kind needs, and every mistake named."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts.alert import Rule
from lgtwist.alerts.settings import AlertSettings, MailSettings, ReceiverKind
from lgtwist.app.configuration import Config, parse
from lgtwist.app.masks import mask
from lgtwist.app.reload import changes
from lgtwist.app.secrets import configured_secrets
from lgtwist.app.summary import summary

FEISHU = "https://open.feishu.cn/open-apis/bot/v2/hook/d0d1d2d3-0000-4000-8000-feishu000001"
DINGTALK = "https://oapi.dingtalk.com/robot/send?access_token=d1ngt4lk00000000000000000000"
WECOM = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=w3c0m000-0000-4000-8000-000000000000"
TOKEN = "123456789:AAtelegram_telegram-telegram0000"

#: Of each: the TOML of an entry that is right.
RIGHT = [
    f'kind = "feishu"\nurl = "{FEISHU}"\nsecret = "feishu-5ecret"',
    f'kind = "dingtalk"\nurl = "{DINGTALK}"\nsecret = "SECdingtalk5ecret"',
    f'kind = "wecom"\nurl = "{WECOM}"',
    f'kind = "telegram"\nsecret = "{TOKEN}"\nto = -1001234567890',
    f'kind = "telegram"\nsecret = "bot{TOKEN}"\nchat_id = "@channel"\nurl = "https://tg.example.org"',
    f'kind = "telegram"\nurl = "https://api.telegram.org/bot{TOKEN}/sendMessage?chat_id=5"',
    'kind = "ntfy"\nurl = "https://ntfy.sh/secret-topic-0001"',
    'kind = "ntfy"\nurl = "http://192.168.1.2:8080"\ntopic = "secret-topic-0001"\nsecret = "tk_ntfy5ecret00"',
    'kind = "bark"\nurl = "https://api.day.app/barkk3ybarkk3ybarkk3yb"',
    'kind = "bark"\nsecret = "barkk3ybarkk3ybarkk3yb"',
    'kind = "serverchan"\nurl = "https://sctapi.ftqq.com/SCT1234Tserverchan5ecret.send"',
    'kind = "serverchan"\nsecret = "SCT1234Tserverchan5ecret"',
    'kind = "serverchan"\nurl = "sctp1234tserverchan5ecret"',
    'kind = "email"\nserver = "smtp.qq.com"\nuser = "me@qq.com"\npassword = "mail-5ecret"\nto = ["a@b.c"]',
    'kind = "webhook"\nurl = "http://127.0.0.1:9000/h00k-h00k-h00k"\nsecret = "webhook-5ecret"',
    # Servers that stand in for the real ones have paths and tokens of their own.
    'kind = "dingtalk"\nurl = "http://127.0.0.1:9/d1ngt4lk-d1ngt4lk"',
    'kind = "wecom"\nurl = "http://127.0.0.1:9/w3c0m-w3c0m"',
    'kind = "telegram"\nurl = "http://127.0.0.1:9"\nsecret = "1:AAtelegram"\nto = ["@ch"]',
    'kind = "telegram"\nurl = "http://127.0.0.1:9/bot1:AAtelegram/sendMessage"\nto = 5',
    'kind = "serverchan"\nurl = "http://127.0.0.1:9"\nsecret = "serverchan5ecret"',
    'kind = "ntfy"\nurl = "http://127.0.0.1:9"\nto = ["secret-topic-0001"]',
    'kind = "email"\nserver = "mail"\nsender = "我 <me@a.b>"\nto = "You <you@a.b>"',
]

#: Of each: the TOML of an entry, the key of the only mistake, and words of its sentence.
WRONG = [
    ("", "kind", "is missing"),
    ('kind = "slack"', "kind", '"serverchan" or "email"'),
    ('kind = "dingding"', "kind", '"dingtalk"'),
    ('kind = "webhook"', "url", "is missing"),
    ('kind = "webhook"\nurl = "ftp://a/"', "url", "http"),
    ('kind = "webhook"\nurl = "http://a/"\ntemplate = "text: {text}"', "template", "no JSON"),
    ('kind = "webhook"\nurl = "http://a/"\ntemplate = \'{"a": "{txt}"}\'', "template", "{txt}"),
    ('kind = "webhook"\nurl = "http://a/"\ntemplate = 5', "template", "{text}"),
    (f'kind = "wecom"\nurl = "{WECOM}"\ntemplate = "{{}}"', "template", "webhook"),
    (f'kind = "wecom"\nurl = "{WECOM}"\nsecret = "x"', "secret", "key stands in the URL"),
    ('kind = "wecom"\nurl = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"', "url", "key=..."),
    ('kind = "dingtalk"\nurl = "https://oapi.dingtalk.com/robot/send"', "url", "access_token="),
    ('kind = "feishu"\nurl = "https://open.feishu.cn/open-apis/bot/v2/hook/"', "url", "behind /hook/"),
    ('kind = "bark"\nurl = "https://api.day.app"', "url", "key of the device"),
    ('kind = "bark"', "url", "is missing"),
    ('kind = "serverchan"\nurl = "https://sctapi.ftqq.com/"', "url", ".send"),
    ('kind = "serverchan"\nsecret = "something else"', "secret", "SCT"),
    ('kind = "serverchan"', "url", "is missing"),
    (f'kind = "telegram"\nsecret = "{TOKEN}"', "to", "number of the chat"),
    ('kind = "telegram"\nto = 5', "secret", "@BotFather"),
    ('kind = "webhook"\nurl = "https://a/"\nca_file = "/nowhere/ca.pem"', "ca_file", "cannot be read"),
    ('kind = "serverchan"\nurl = "https://1.push.ft07.com/send/"', "url", ".send"),
    (f'kind = "telegram"\nto = [1, 2]\nsecret = "{TOKEN}"', "to", "number of a chat"),
    ('kind = "telegram"\nto = 5\nsecret = "nothing like it"', "secret", "123456:ABC"),
    (f'kind = "telegram"\nto = "me"\nsecret = "{TOKEN}"', "to", "number of a chat"),
    (f'kind = "telegram"\nto = 5\nchat_id = 5\nsecret = "{TOKEN}"', "chat_id", "mean the same"),
    (f'kind = "telegram"\nto = 5\ntopic = "x"\nsecret = "{TOKEN}"', "topic", "chat_id"),
    ('kind = "ntfy"\nurl = "https://ntfy.sh/"', "to", "topic"),
    ('kind = "ntfy"\nurl = "https://ntfy.sh/"\nto = "a topic"', "to", "letters"),
    (f'kind = "feishu"\nurl = "{FEISHU}"\nto = "x"', "to", "telegram"),
    (f'kind = "feishu"\nurl = "{FEISHU}"\nserver = "x"', "server", "email"),
    ('kind = "email"\nserver = "a"\nsender = "a@b.c"', "to", "is missing"),
    ('kind = "email"\nserver = "a"\nsender = "me"\nto = "a@b.c"', "sender", "me@example.org"),
    ('kind = "email"\nserver = "a"\nto = "a@b.c"', "sender", "is missing"),
    ('kind = "email"\nserver = "a:25"\nsender = "a@b.c"\nto = "a@b.c"', "server", "port"),
    ('kind = "email"\nserver = "a"\nsender = "a@b.c"\nto = ["a@b.c", "x"]', "to[1]", "address"),
    ('kind = "email"\nserver = "a"\nto = "a@b.c"\nuser = "a@b.c"', "password", "is missing"),
    (
        'kind = "email"\nserver = "a"\nsender = "a@b.c"\nto = "a@b.c"\ntls = "ssl"',
        "tls",
        '"starttls" or "tls"',
    ),
    ('kind = "email"\nserver = "a"\nsender = "a@b.c"\nto = "a@b.c"\nurl = "http://a/"', "url", "server"),
    ('kind = "webhook"\nurl = "http://a/"\non = []', "on", "not empty"),
    ('kind = "webhook"\nurl = "http://a/"\non = ["off"]', "on[0]", '"offline"'),
    ('kind = "webhook"\nurl = "http://a/"\nafter = "0s"', "after", "from"),
    ('kind = "webhook"\nurl = "http://a/"\nafter = 120', "after", "unit"),
    ('kind = "webhook"\nurl = "http://a/"\nbacklog = 0', "backlog", "whole number"),
    ('kind = "webhook"\nurl = "http://a/"\nlanguage = "cn"', "language", '"zh" or "en"'),
    ('kind = "webhook"\nurl = "http://a/"\naccounts = [5]', "accounts[0]", "no account 5"),
    ('kind = "webhook"\nurl = "http://a/"\nbots = ["x"]', "bots[0]", 'no bot "x"'),
    ('kind = "webhook"\nurl = "http://a/"\naccounts = []', "accounts", "not empty"),
    ('kind = "webhook"\nurl = "http://a/"\naftr = "1m"', "aftr", '"after"'),
    ('kind = "webhook"\nurl = "http://a/"\nurl_file = "x"', "url_file", "one of them"),
]


class AlertKeyTests(SynchronousTestCase):
    def read(self, toml: str) -> AlertSettings:
        """Read an entry that is right."""
        config = parse(f"[[alerts]]\n{toml}")
        assert isinstance(config, Config), config
        return config.alerts[0]

    def test_right(self) -> None:
        """Every kind can be configured; nothing that is printed of it has a secret."""
        for toml in RIGHT:
            alert = self.read(toml)
            shown = repr(alert)
            for secret in alert.secrets():
                self.assertNotIn(secret, shown, toml)
            for part in ("5ecret", "k3yb", "AAtelegram", "w3c0m", "d1ngt4lk", "feishu0000", "h00k", "topic"):
                self.assertNotIn(part, shown)
                if part in toml:
                    self.assertTrue(any(part in secret for secret in alert.secrets()), toml)

    def test_wrong(self) -> None:
        """Each mistake is one line, with its key."""
        for toml, key, words in WRONG:
            problems = parse(f"[[alerts]]\n{toml}")
            assert isinstance(problems, list), toml
            self.assertEqual([problem.path for problem in problems], [f"alerts[0].{key}"], toml)
            self.assertIn(words, problems[0].sentence)

    def test_no_secret_in_mistakes(self) -> None:
        """No sentence shows the address, whatever is wrong with it."""
        for url in (FEISHU, DINGTALK, WECOM, f"https://api.telegram.org/bot{TOKEN}/x"):
            for kind in ReceiverKind:
                for broken in (
                    url,
                    f" {url}",
                    f"{url} ",
                    url.replace("https", "htp"),
                    url.replace(".", "。"),
                ):
                    for key in ("url", "secret", "to", "server", "password"):
                        found = parse(f'[[alerts]]\nkind = "{kind.value}"\n{key} = "{broken}"')
                        for problem in found if isinstance(found, list) else ():
                            for part in ("feishu0000", "d1ngt4lk", "w3c0m", "AAtelegram"):
                                self.assertNotIn(part, problem.sentence)

    def test_masks(self) -> None:
        """The console masks the address, the secret and the password."""
        for toml in RIGHT:
            shown = mask(f"[[alerts]]\n{toml}\n").text
            for part in ("5ecret", "k3yb", "AAtelegram", "w3c0m", "d1ngt4lk", "feishu0000", "h00k"):
                self.assertNotIn(part, shown)

    def test_known_secrets(self) -> None:
        """They are known as secrets, to be hidden in old lines of the log."""
        config = parse("".join(f"[[alerts]]\n{toml}\n" for toml in RIGHT))
        assert isinstance(config, Config), config
        known = configured_secrets(config)
        for secret in (FEISHU, DINGTALK, WECOM, "mail-5ecret", "feishu-5ecret", "SCT1234Tserverchan5ecret"):
            self.assertIn(secret, known)
        self.assertTrue(any(TOKEN in one for one in known))
        for word in ("send", "sendMessage", "https://ntfy.sh", "https://api.telegram.org", "webhook"):
            self.assertNotIn(word, known)

    def test_summary(self) -> None:
        """The start and ``lgtwist check`` say what is told to which kind of receiver, without secrets."""
        config = parse("".join(f"[[alerts]]\n{toml}\non = ['lost', 'offline']\n" for toml in RIGHT))
        assert isinstance(config, Config), config
        lines = summary(config)
        self.assertIn("alerts[0] (feishu): offline, lost; after 120 s", lines)
        for secret in configured_secrets(config):
            self.assertNotIn(secret, "\n".join(lines))

    def test_defaults(self) -> None:
        """What counts where a key is missing."""
        alert = self.read('kind = "webhook"\nurl = "http://127.0.0.1:1/"')
        self.assertEqual(alert, AlertSettings(ReceiverKind.WEBHOOK, "http://127.0.0.1:1/"))
        self.assertEqual((alert.after, alert.backlog, alert.language), (120.0, 1000, "zh"))
        self.assertEqual(alert.on, frozenset(Rule))

    def test_everything(self) -> None:
        """Every common key is read."""
        alert = self.read(
            'kind = "webhook"\nurl = "http://127.0.0.1:1/"\naccounts = [10001]\nbots = ["default"]\n'
            'on = ["lost"]\nafter = "10m"\nbacklog = 5\nlanguage = "en"\n'
            "template = '''\n{\n  \"content\": \"{text}\"\n}\n'''"
        )
        self.assertEqual((alert.accounts, alert.bots), ((10001,), ("default",)))
        self.assertEqual((alert.on, alert.after, alert.backlog), (frozenset({Rule.LOST}), 600.0, 5))
        self.assertEqual(alert.language, "en")
        self.assertIn("{text}", alert.template or "")

    def test_mail(self) -> None:
        """The port and TLS follow each other; who sends is the user where that is an address."""
        base = 'kind = "email"\nserver = "smtp.example.org"\nto = "you@example.org"\n'
        plain = self.read(f'{base}sender = "me@example.org"').mail
        self.assertEqual(
            plain,
            MailSettings("smtp.example.org", 587, False, None, None, "me@example.org", ("you@example.org",)),
        )
        for more, port, tls in (
            ('tls = "tls"', 465, True),
            ("port = 465", 465, True),
            ('port = 465\ntls = "starttls"', 465, False),
            ("port = 25", 25, False),
        ):
            mail = self.read(f'{base}user = "me@example.org"\npassword = "x"\n{more}').mail
            assert mail is not None
            self.assertEqual((mail.port, mail.implicit_tls, mail.sender), (port, tls, "me@example.org"))

    def test_what_a_reload_says(self) -> None:
        """Entries are named by their places, without secrets."""

        def read(*entries: str) -> Config:
            config = parse("".join(f"[[alerts]]\n{toml}\n" for toml in entries))
            assert isinstance(config, Config)
            return config

        one, two, three = RIGHT[:3]
        for old, new, line in (
            ((one,), (one,), "nothing changed"),
            ((), (one, two), "alerts[0] added, alerts[1] added"),
            ((one, two), (one, three), "alerts[1] changed"),
            ((one, two), (two,), "alerts[0] changed, alerts[1] removed"),
        ):
            found = changes(read(*old), read(*new))
            self.assertEqual(found.describe(), line)
            self.assertEqual(found.nothing, old == new)

    def test_place(self) -> None:
        """A key that stands in another table is sent to [[alerts]]."""
        problems = parse("[server]\nbacklog = 5")
        assert isinstance(problems, list)
        self.assertIn("[[alerts]]", problems[0].sentence)
