"""Messages that are sent over HTTP: each kind of receiver takes them, or its refusal is told in words."""

from __future__ import annotations

import json
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from attrs import evolve
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts import formats, senders
from lgtwist.alerts.alert import AlertMessage
from lgtwist.alerts.settings import AlertSettings, ReceiverKind
from lgtwist.app.alert_clients import AlertClients
from lgtwist.app.configuration import Config, parse
from lgtwist.app.service import LgtwistService
from lgtwist.net.http_client import WebClient
from tests.alerts.receivers import (
    OFFLINE,
    ONLINE,
    TEST,
    Asked,
    Bark,
    DingTalk,
    Feishu,
    Ntfy,
    ReceiverCase,
    Said,
    ServerChan,
    Telegram,
    WeCom,
    hmac_by_rfc_2104,
    hurry,
    reactor,
    said,
)
from tests.integration.running import ROOT

try:
    import trustme
except ImportError:
    trustme = None  # type: ignore[assignment]

#: A message as long as a digest of everything, with what formats might trip over.
LONG = evolve(
    OFFLINE, title="😀" * 500 + '"\n\\{text}', text='密😀"\'<at user_id="all"></at>\n\t\\ \x00{title}' * 4000
)


class WebhookTests(ReceiverCase):
    async def test_no_header_gets_in(self) -> None:
        """Through a secret or a title with a line break."""
        url = self.serve(lambda _asked: said({}))
        message = AlertMessage("x\r\nX-Evil: 1", "\r\n\r\nPOST /evil")
        await self.send("ntfy", f"{url}/topic", message, secret="tk\r\nX-Evil: 1")
        await self.send("ntfy", f"{url}/a%0d%0aX-Evil:%201", message)
        self.assertEqual([asked.path for asked in self.asked], ["/", "/"])
        self.assertFalse(any("x-evil" in asked.headers for asked in self.asked))

    async def test_what_is_sent(self) -> None:
        """One JSON object with all that is known, without a signature where there is no secret."""
        url = self.serve(lambda _asked: Said(204, b""))
        answer = await self.send("webhook", f"{url}/hooks/a?token=abcdef")
        self.assertEqual((answer.accepted, answer.status, answer.words), (True, 204, "HTTP 204"))
        [asked] = self.asked
        self.assertEqual((asked.method, asked.path, asked.query), ("POST", "/hooks/a", {"token": "abcdef"}))
        self.assertNotIn("x-signature", asked.headers)
        self.assertEqual(
            asked.json(),
            {
                "event": "offline",
                "recovered": False,
                "account": 10001,
                "bot": None,
                "online": False,
                "reason": "kicked",
                "since": 1767225000,
                "title": OFFLINE.title,
                "text": OFFLINE.text,
                "values": {"lasted": 120},
                "alerts": [
                    {
                        "event": "offline",
                        "recovered": False,
                        "account": 10001,
                        "bot": None,
                        "online": False,
                        "reason": "kicked",
                        "since": 1767225000,
                        "values": {"lasted": 120},
                    }
                ],
            },
        )

    async def test_the_signature(self) -> None:
        """It is that of OneBot's HTTP POST: HMAC-SHA1 of the body as it is sent, in hexadecimal."""

        def judge(asked: Asked) -> Said:
            signature = hmac_by_rfc_2104("sha1", "密 key".encode(), asked.body).hex()
            return Said(200 if asked.headers["x-signature"] == f"sha1={signature}" else 403, b"")

        url = self.serve(judge)
        self.assertTrue((await self.send("webhook", url, secret="密 key")).accepted)
        self.assertEqual((await self.send("webhook", url, secret="another")).status, 403)

    async def test_a_template(self) -> None:
        """Its placeholders are filled in, and the signature is of what is sent."""
        url = self.serve(lambda asked: said(asked.json()))
        template = '{"msg": "<{title}> {text}", "who": {account}, "back": {recovered}}'
        await self.send("webhook", url, template=template)
        text = f"<{OFFLINE.title}> {OFFLINE.text}"
        self.assertEqual(self.asked[0].json(), {"msg": text, "who": 10001, "back": False})

    async def test_refusals(self) -> None:
        """Whatever a server answers that is no success, it is asked again: three tries."""
        for status in (400, 401, 404, 408, 429, 500, 503):
            url = self.serve(lambda _asked, status=status: Said(status, b"<p>no</p>"))  # type: ignore[misc]
            answer = await self.send("webhook", url)
            self.assertEqual((answer.accepted, answer.status, answer.retry), (False, status, True))
            self.assertEqual(answer.words, f"HTTP {status}: no")

    async def test_redirects_are_not_followed(self) -> None:
        for status in (301, 302, 303, 307, 308):
            other = self.serve(lambda _asked: Said(200, b""))
            asked_there = self.asked
            url = self.serve(lambda _asked, to=other, s=status: Said(s, b"", (("Location", f"{to}/x"),)))  # type: ignore[misc]
            for kind in ("webhook", "dingtalk"):
                answer = await self.send(kind, url)
                self.assertEqual((answer.accepted, answer.status, answer.retry), (False, status, True))
                self.assertIn("not followed", answer.words)
            self.assertEqual(asked_there, [])

    async def test_retry_after(self) -> None:
        """What ``Retry-After`` says is told: seconds, or a date."""
        for value, seconds in (("17", 17.0), ("Thu, 01 Jan 2026 00:01:00 GMT", 59.75), ("soon", None)):
            url = self.serve(lambda _asked, v=value: Said(429, b"", (("Retry-After", v),)))  # type: ignore[misc]
            self.assertEqual((await self.send("webhook", url)).retry_after, seconds)

    async def test_a_huge_answer(self) -> None:
        """It is not read to its end; where its body counts, it is not asked for again."""
        url = self.serve(lambda _asked: Said(200, b"x" * (3 << 20)))
        answer = await self.send("webhook", url)
        self.assertEqual((answer.accepted, answer.status), (True, 200))
        answer = await self.send("feishu", url)
        self.assertEqual((answer.accepted, answer.status, answer.retry), (False, 200, False))
        self.assertEqual(answer.words, "its answer is too large")


class ChatTests(ReceiverCase):
    async def test_feishu(self) -> None:
        server = Feishu()
        url = self.serve(server) + Feishu.PATH
        answer = await self.send("feishu", url)
        self.assertEqual((answer.accepted, answer.status, answer.words), (True, 200, "success"))
        self.assertEqual(server.texts, [f"[lgtwist] {OFFLINE.title}\n{OFFLINE.text}"])

    async def test_feishu_signed(self) -> None:
        """With ``secret`` it is signed; a wrong one is refused."""
        url = self.serve(Feishu("密 secret+/=")) + Feishu.PATH
        self.assertTrue((await self.send("feishu", url, secret="密 secret+/=")).accepted)
        answer = await self.send("feishu", url, secret="wrong")
        self.assertEqual((answer.accepted, answer.retry), (False, True))
        self.assertIn("code 19021: sign match fail", answer.words)

    async def test_feishu_keyword_and_token(self) -> None:
        """The word lgtwist is in each text, so that it can be the keyword."""
        url = self.serve(Feishu(keyword="lgtwist"))
        for message in (OFFLINE, ONLINE, TEST):
            self.assertTrue((await self.send("feishu", url + Feishu.PATH, message)).accepted)
        url = self.serve(Feishu(keyword="别的"))
        answer = await self.send("feishu", url + Feishu.PATH)
        self.assertEqual((answer.words, answer.retry), ("code 19024: Key Words Not Found", True))
        answer = await self.send("feishu", f"{url}/open-apis/bot/v2/hook/another")
        self.assertEqual((answer.status, answer.retry), (200, True))
        self.assertIn("code 19001", answer.words)

    async def test_feishu_of_former_times(self) -> None:
        """Its answer has ``StatusCode`` alone."""
        url = self.serve(lambda _asked: said({"Extra": None, "StatusCode": 0, "StatusMessage": "success"}))
        self.assertTrue((await self.send("feishu", url)).accepted)

    async def test_feishu_mentions_nobody(self) -> None:
        """A name that looks like a mention is text."""
        server = Feishu()
        url = self.serve(server) + Feishu.PATH
        message = AlertMessage("x", 'bot <at user_id="all"></at> is away')
        self.assertTrue((await self.send("feishu", url, message)).accepted)
        self.assertNotIn("<at", server.texts[0])

    async def test_others_mention_nobody(self) -> None:
        """What a peer says, such as the reason why it closed, calls nobody and brings no links."""
        message = AlertMessage("x", "left: <@all> @everybody ![](http://192.0.2.1/)")
        wecom, telegram = WeCom(), Telegram()
        url = f"{self.serve(wecom)}/cgi-bin/webhook/send?key={WeCom.KEY}"
        self.assertTrue((await self.send("wecom", url, message)).accepted)
        self.assertNotIn("<@", wecom.texts[0])
        url = self.serve(telegram)
        answer = await self.send("telegram", url, message, secret=Telegram.TOKEN, to="42")
        self.assertTrue(answer.accepted)
        self.assertNotIn("@everybody", self.asked[0].json()["text"])
        chan = ServerChan("/SCT123abc.send")
        self.assertTrue(
            (await self.send("serverchan", f"{self.serve(chan)}/SCT123abc.send", message)).accepted
        )
        self.assertIn("!\\[](http", chan.sent[0]["desp"])

    async def test_dingtalk(self) -> None:
        """Signed or not; the signature is quoted in the query, beside the token."""
        for secret in (None, "SEC密+/="):
            server = DingTalk(secret or "", "lgtwist")
            url = f"{self.serve(server)}/robot/send?access_token={DingTalk.TOKEN}"
            answer = await self.send("dingtalk", url, secret=secret)
            self.assertEqual((answer.accepted, answer.status, answer.words), (True, 200, "ok"))
            self.assertEqual(server.texts, [f"[lgtwist] {OFFLINE.title}\n{OFFLINE.text}"])
            answer = await self.send("dingtalk", f"{url}&timestamp=1&sign=old", secret="SEC密+/=")
            self.assertTrue(answer.accepted)

    async def test_dingtalk_refuses_with_200(self) -> None:
        """Its ``errcode`` tells, not HTTP's status; the words have no URL."""
        url = f"{self.serve(DingTalk('SEC1', '关键词'))}/robot/send?access_token={DingTalk.TOKEN}"
        for secret, words in (("SEC2", "sign not match"), ("SEC1", "keywords not in content")):
            answer = await self.send("dingtalk", url, secret=secret)
            self.assertEqual((answer.accepted, answer.status, answer.retry), (False, 200, True))
            self.assertEqual(answer.words, f"errcode 310000: {words}, more: [(a URL)")
        answer = await self.send("dingtalk", url[:-1] + "x", secret="SEC1")
        self.assertEqual((answer.words, answer.retry), ("errcode 300005: token is not exist", True))
        url = self.serve(lambda _asked: said({"errcode": 130101, "errmsg": "send too fast"}))
        self.assertTrue((await self.send("dingtalk", url)).retry)

    async def test_wecom(self) -> None:
        """A text over 2,048 bytes is cut at a character."""
        server = WeCom()
        url = f"{self.serve(server)}/cgi-bin/webhook/send?key="
        self.assertTrue((await self.send("wecom", url + WeCom.KEY)).accepted)
        for shift in range(4):
            message = AlertMessage("lgtwist", "x" * shift + "密😀" * 1000)
            self.assertTrue((await self.send("wecom", url + WeCom.KEY, message)).accepted)
            self.assertIn(len(server.texts[-1].encode()), range(2040, 2049))
            self.assertTrue(server.texts[-1].endswith("…"))
        answer = await self.send("wecom", f"{url}wrong-key-1234")
        self.assertEqual((answer.accepted, answer.retry), (False, True))
        self.assertIn("errcode 93000: invalid webhook url", answer.words)
        self.assertNotIn(WeCom.KEY, answer.words)

    async def test_telegram(self) -> None:
        """The token stands in the secret or the URL, the chat in ``to`` or the URL; the base may be any."""
        token = Telegram.TOKEN
        server = Telegram()
        url = self.serve(server)
        ways: list[tuple[str, dict[str, Any]]] = [
            (url, {"secret": token, "to": "42"}),
            (f"{url}/", {"secret": f"bot{token}", "to": "-1001234567890"}),
            (f"{url}/?chat_id=@lgtwist_alerts", {"secret": token}),
            (f"{url}/bot{token}", {"to": "42"}),
            (f"{url}/bot{token}/sendMessage?chat_id=42&parse_mode=HTML&message_thread_id=7", {}),
        ]
        for address, more in ways:
            answer = await self.send("telegram", address, **more)
            self.assertTrue(answer.accepted, answer)
        self.assertEqual(
            [one["chat_id"] for one in server.sent], ["42", "-1001234567890", "@lgtwist_alerts", "42", "42"]
        )
        self.assertEqual(server.sent[-1]["message_thread_id"], "7")
        self.assertEqual(server.sent[0]["text"], f"[lgtwist] {OFFLINE.title}\n{OFFLINE.text}")
        behind_proxy = self.serve(Telegram("/tg/api"))
        self.assertTrue(
            (await self.send("telegram", f"{behind_proxy}/tg/api", secret=token, to="42")).accepted
        )

    async def test_telegram_refuses(self) -> None:
        url = self.serve(Telegram())
        answer = await self.send("telegram", url, secret="1:wrong", to="42")
        self.assertEqual((answer.status, answer.retry, answer.words), (401, True, "error 401: Unauthorized"))
        answer = await self.send("telegram", url, secret=Telegram.TOKEN, to="43")
        self.assertEqual((answer.retry, answer.words), (True, "error 400: Bad Request: chat not found"))
        for more in ({"to": "42"}, {"secret": Telegram.TOKEN}):
            before = len(self.asked)
            answer = await self.send("telegram", url, **more)
            self.assertEqual((answer.accepted, answer.retry, len(self.asked)), (False, False, before))
        problem = {
            "ok": False,
            "error_code": 429,
            "description": "Too Many",
            "parameters": {"retry_after": 35},
        }
        url = self.serve(lambda _asked: said(problem, 429))
        answer = await self.send("telegram", url, secret="1:x", to="42")
        self.assertEqual((answer.retry, answer.retry_after), (True, 35.0))

    async def test_ntfy(self) -> None:
        """JSON to the server's root; the topic from the URL or ``to``; what begins is urgent."""
        server = Ntfy()
        url = self.serve(server)
        self.assertTrue((await self.send("ntfy", f"{url}/lgtwist-alerts")).accepted)
        self.assertTrue((await self.send("ntfy", f"{url}/lgtwist-alerts/", ONLINE)).accepted)
        self.assertTrue((await self.send("ntfy", url, TEST, to="lgtwist-alerts")).accepted)
        both = await self.send("ntfy", f"{url}/lgtwist-alerts", TEST, to="lgtwist-alerts")
        self.assertTrue(both.accepted)
        self.assertEqual([one["priority"] for one in server.sent], [4, 3, 3, 3])
        tags = [one["tags"] for one in server.sent]
        self.assertEqual(tags, [["rotating_light"], ["white_check_mark"], ["bell"], ["bell"]])
        self.assertEqual((server.sent[0]["title"], server.sent[0]["message"]), (OFFLINE.title, OFFLINE.text))
        below = Ntfy(root="/push/")
        self.assertTrue((await self.send("ntfy", f"{self.serve(below)}/push/lgtwist-alerts")).accepted)
        self.assertFalse((await self.send("ntfy", f"{url}/")).retry)

    async def test_ntfy_with_a_token(self) -> None:
        url = f"{self.serve(Ntfy('Bearer tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2'))}/lgtwist-alerts"
        self.assertTrue((await self.send("ntfy", url, secret="tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2")).accepted)
        answer = await self.send("ntfy", url, secret="tk_wrong")
        self.assertEqual((answer.status, answer.retry, answer.words), (401, True, "HTTP 401: unauthorized"))
        url = f"{self.serve(Ntfy('Basic cGhpbDpteXBhc3M='))}/lgtwist-alerts"  # printf phil:mypass | base64
        self.assertTrue((await self.send("ntfy", url, secret="phil:mypass")).accepted)

    async def test_bark(self) -> None:
        """The key stands in the URL, or in the secret; the query's parameters go into the body."""
        server = Bark()
        url = self.serve(server)
        self.assertTrue((await self.send("bark", f"{url}/{Bark.KEY}")).accepted)
        self.assertTrue(
            (await self.send("bark", f"{url}/{Bark.KEY}/?sound=alarm&group=bots", ONLINE)).accepted
        )
        self.assertTrue((await self.send("bark", url, secret=Bark.KEY)).accepted)
        expected = {
            "title": OFFLINE.title,
            "body": OFFLINE.text,
            "group": "lgtwist",
            "level": "timeSensitive",
        }
        self.assertEqual(server.sent[0], expected)
        second = server.sent[1]
        self.assertEqual((second["sound"], second["group"], second["level"]), ("alarm", "bots", "active"))
        self.assertEqual(server.sent[2]["device_key"], Bark.KEY)
        answer = await self.send("bark", f"{url}/another-key")
        self.assertEqual((answer.status, answer.retry), (400, True))
        self.assertEqual(
            answer.words,
            "code 400: failed to get device token: failed to get [***] device token from database",
        )
        self.assertFalse((await self.send("bark", url)).retry)

    async def test_serverchan(self) -> None:
        """Of both hosts; the title is cut to 32 characters."""
        for path in ("/SCT123abc.send", "/send/sctp77tABCDEF.send"):
            server = ServerChan(path)
            url = self.serve(server)
            self.assertTrue((await self.send("serverchan", url + path)).accepted)
            self.assertEqual(server.sent[0]["title"], OFFLINE.title)
            text = OFFLINE.text.replace("\n", "\n\n").replace("<b>", "\\<b>")  # it is shown as Markdown
            self.assertEqual(server.sent[0]["desp"], text)
            long = AlertMessage("密" * 40, "x")
            self.assertTrue((await self.send("serverchan", url + path, long)).accepted)
            self.assertEqual(server.sent[1]["title"], "密" * 31 + "…")
            answer = await self.send("serverchan", f"{url}/SCTwrong.send")
            self.assertEqual((answer.retry, answer.words), (True, "code 40001: 错误的Key"))

    async def test_long_and_strange_messages(self) -> None:
        """Each kind takes 100 KB and more, with quotes, emoji, line ends and control characters."""
        token = DingTalk.TOKEN
        servers: list[tuple[str, Any, str, dict[str, Any]]] = [
            ("webhook", lambda asked: said(asked.json()), "", {}),
            ("webhook", lambda asked: said(asked.json()), "", {"template": '{"a": "{text}", "b": {title}}'}),
            ("feishu", Feishu(), Feishu.PATH, {}),
            ("dingtalk", DingTalk(), f"/robot/send?access_token={token}", {}),
            ("wecom", WeCom(), f"/cgi-bin/webhook/send?key={WeCom.KEY}", {}),
            ("telegram", Telegram(), f"/bot{Telegram.TOKEN}", {"to": "42"}),
            ("ntfy", Ntfy(), "/lgtwist-alerts", {}),
            ("bark", Bark(), f"/{Bark.KEY}", {}),
            ("serverchan", ServerChan("/SCT1.send"), "/SCT1.send", {}),
        ]
        for kind, server, path, more in servers:
            url = self.serve(server) + path
            for message in (LONG, evolve(LONG, alerts=(*LONG.alerts, *ONLINE.alerts)), AlertMessage("", "")):
                answer = await self.send(kind, url, message, **more)
                self.assertTrue(answer.accepted, (kind, answer))


class TroubleTests(ReceiverCase):
    async def test_another_server(self) -> None:
        """A page in place of the service's answer is no success."""
        page = b"<html><head><style>p {}</style><title>Portal</title></head><body>Log in</body></html>"
        for kind in ("feishu", "dingtalk", "wecom", "telegram", "bark", "serverchan"):
            url = self.serve(lambda _asked: Said(200, page)) + "/SCT1.send"
            answer = await self.send(kind, url, secret="1:x" if kind == "telegram" else None, to="1")
            self.assertFalse(answer.accepted)
            self.assertRegex(answer.words, "^an answer without .*: Portal Log in$")
            for body in (b"[]", b"null", b"{}", b'{"code": false, "errcode": "0", "ok": 1}', b"\xff", b""):
                url = self.serve(lambda _asked, body=body: Said(200, body)) + "/SCT1.send"  # type: ignore[misc]
                answer = await self.send(kind, url, secret="1:x" if kind == "telegram" else None, to="1")
                self.assertFalse(answer.accepted, (kind, body))

    async def test_success_of_a_failing_server(self) -> None:
        """A body that says yes under HTTP's 502 is no success."""
        url = self.serve(lambda _asked: said({"errcode": 0, "errmsg": "ok"}, 502))
        answer = await self.send("dingtalk", url)
        self.assertEqual((answer.accepted, answer.retry), (False, True))

    async def test_nobody_listens(self) -> None:
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        answer = await self.send("webhook", f"http://127.0.0.1:{number}/secret-path")
        self.assertEqual((answer.accepted, answer.status, answer.retry), (False, 0, True))
        self.assertEqual(answer.words, "connection was refused by other side")

    async def test_an_unknown_host(self) -> None:
        answer = await self.send("webhook", "http://nowhere.invalid/secret-path")
        self.assertEqual(answer.words, "the host's name is not known")

    async def test_urls_that_cannot_be_used(self) -> None:
        for url in (
            "http://[::1/secret-path",
            "http://127.0.0.1:99999/secret-path",
            "gopher://127.0.0.1/secret-path",
        ):
            for kind in ("webhook", "dingtalk", "bark", "ntfy"):
                answer = await self.send(kind, url, secret="s")
                self.assertFalse(answer.accepted)
                self.assertNotIn("secret-path", answer.words)

    async def test_a_server_that_never_answers(self) -> None:
        """A try takes ten seconds at most, and its connection is closed then."""
        self.assertEqual(formats.SEND_TIMEOUT, 10.0)
        self.patch(senders, "SEND_TIMEOUT", 60.0)
        asked: Deferred[None] = Deferred()
        lost: Deferred[None] = Deferred()

        class Silent(Protocol):
            def dataReceived(self, data: bytes) -> None:
                if not asked.called:
                    asked.callback(None)

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                lost.callback(None)

        port = reactor.listenTCP(0, Factory.forProtocol(Silent), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        sending = Deferred.fromCoroutine(self.send("webhook", f"http://127.0.0.1:{port.getHost().port}/"))
        await asked
        hurry()
        answer = await sending
        self.assertEqual((answer.accepted, answer.retry, answer.words), (False, True, "no answer in time"))
        await lost

    async def test_a_connection_that_breaks_in_the_answer(self) -> None:
        """Where HTTP's status tells, the message was taken; where the body tells, it is not known."""

        class Breaking(Protocol):
            def dataReceived(self, data: bytes) -> None:
                if b"\r\n\r\n" in data:
                    self.transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"errcode": 0, ')  # type: ignore[union-attr]
                    self.transport.loseConnection()  # type: ignore[union-attr]

        port = reactor.listenTCP(0, Factory.forProtocol(Breaking), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/"
        self.assertTrue((await self.send("webhook", url)).accepted)
        answer = await self.send("dingtalk", url)
        self.assertEqual((answer.accepted, answer.status, answer.retry), (False, 200, True))
        self.assertEqual(answer.words, "the connection broke after HTTP 200")


class CertificateTests(ReceiverCase):
    if trustme is None:
        skip = "trustme is not installed"

    def https(self, *names: str) -> tuple[str, Any]:
        root = trustme.CA()
        leaf = root.issue_cert(*names)
        pem = b"".join(one.bytes() for one in leaf.cert_chain_pems)
        certificate = ssl.PrivateCertificate.loadPEM(pem + leaf.private_key_pem.bytes())
        url = self.serve(lambda _asked: Said(200, b""), certificate.options())
        self.pem = root.cert_pem.bytes()
        trusted = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(root.cert_pem.bytes())])
        return url, trusted

    def trust(self, trust_root: Any) -> None:
        self.client = WebClient(reactor, trust_root)
        self.addCleanup(self.client.close)

    async def test_ca_file(self) -> None:
        """A private authority is known by ``ca_file``, to that entry only."""
        url, _trusted = self.https("127.0.0.1")
        entry = f'[[alerts]]\nkind = "ntfy"\nurl = "{url}/topic"\n'
        folder = Path(self.mktemp()).absolute()
        config = parse(
            f"data_dir = '{folder}'\n{entry}ca_file = 'ca.pem'\n{entry}",
            lambda _name: self.pem.decode(),
            folder,
        )
        assert isinstance(config, Config), config
        service = LgtwistService(config, reactor)
        self.addCleanup(service._stop_alerts)
        tests = [await service.alerts.send_test(index) for index in (0, 1)]
        self.assertEqual([one.accepted for one in tests], [True, False])
        self.assertIn("is ca_file needed?", tests[1].words)
        clients = AlertClients(reactor, lambda: 0.0)  # as the command alert-test makes its senders
        sender = clients.sender(config.alerts[0])
        [client] = clients.clients()
        self.addCleanup(client.close)
        self.assertTrue((await sender.send(TEST)).accepted)

    async def test_certificates_are_verified(self) -> None:
        """By authority and by name; why one is refused is told without the URL."""
        url, trusted = self.https("127.0.0.1")
        answer = await self.send("webhook", f"{url}/secret-path?token=secret-token")
        self.assertEqual((answer.accepted, self.asked), (False, []))
        self.assertIn("an authority that is not known here", answer.words)
        self.trust(trusted)
        self.assertTrue((await self.send("webhook", f"{url}/secret-path")).accepted)
        url, trusted = self.https("another.example")
        self.trust(trusted)
        answer = await self.send("webhook", f"{url}/secret-path?token=secret-token")
        self.assertEqual(answer.words, 'TLS: the certificate is for another.example, not for "127.0.0.1"')
        self.assertEqual(self.asked, [])


#: A secret for each place that it may stand in.
_SECRET = "S3cret+密-VALUE"
_QUOTED = "S3cret%2B%E5%AF%86-VALUE"


class SecretTests(ReceiverCase):
    CASES = (
        ("webhook", f"/hook/{_QUOTED}?token={_QUOTED}", {"secret": _SECRET}),
        ("feishu", f"/open-apis/bot/v2/hook/{_QUOTED}", {"secret": _SECRET}),
        ("dingtalk", f"/robot/send?access_token={_QUOTED}", {"secret": _SECRET}),
        ("wecom", f"/cgi-bin/webhook/send?key={_QUOTED}", {}),
        ("telegram", "", {"secret": f"1234:{_SECRET}", "to": "42"}),
        ("telegram", f"/bot1234:{_QUOTED}/sendMessage?chat_id=42", {}),
        ("ntfy", f"/{_QUOTED}", {"secret": _SECRET}),
        ("bark", f"/{_QUOTED}", {}),
        ("serverchan", f"/{_QUOTED}.send", {}),
    )

    async def test_no_answer_and_no_log_has_them(self) -> None:
        """Whatever the receiver gives back of the request, in whatever form, and whatever it is made of."""
        pieces: list[str] = []

        def echo(asked: Asked) -> Said:
            everything = [asked.path, *asked.query.values()]
            everything += [asked.headers.get(name, "") for name in ("authorization", "x-signature")]
            every_form = [form for one in everything for form in (one, unquote(one), quote(one), escape(one))]
            every_form = filter(None, [_SECRET, _QUOTED.lower(), json.dumps(_SECRET), *every_form])
            pieces[:] = dict.fromkeys(every_form)
            piece = pieces[number]
            value = dict.fromkeys(("message", "msg", "errmsg", "description", "info"), piece)
            return said({**value, "code": 1, "errcode": 1, "ok": False}, 400)

        lines: list[str] = []

        def observe(event: Any) -> None:
            lines.append(f"{formatEvent(event)} {event.get('log_failure')} {event.get('traceback')}")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for kind, path, more in self.CASES:
            number, pieces[:] = 0, [""]
            url = self.serve(echo)
            while number < len(pieces):
                answer = await self.send(kind, url + path, **more)
                self.assertFalse(answer.accepted)
                shown = answer.words.partition(": ")[2]
                for secret in filter(
                    None, ("S3cret", "s3cret", "VALUE", "value", *self.made(self.asked[-1]))
                ):
                    self.assertNotIn(secret, shown, kind)
                number += 1
            answer = await self.send(kind, f"http://127.0.0.1:1{path}", **more)
            self.assertEqual(answer.words, "connection was refused by other side")
            self.assertNotIn("S3cret", repr(AlertSettings(ReceiverKind(kind), url + path, **more)))
        Logger().info("the end")
        self.assertIn("the end None None", lines)
        self.assertNotIn("S3cret", "\n".join(lines))

    def made(self, asked: Asked) -> list[str]:
        """What was made of secrets for a request."""
        authorization = asked.headers.get("authorization", "").partition(" ")[2]
        return [
            asked.query.get("sign", ""),
            asked.headers.get("x-signature", "").partition("=")[2],
            authorization,
        ]


class ImportTests(SynchronousTestCase):
    def test_mail_is_imported_late(self) -> None:
        """Senders over HTTP need no mail."""
        code = (
            "import sys, lgtwist.alerts.senders;"
            "late = ('twisted.mail', 'lgtwist.alerts.smtp');"
            "print([name for name in sys.modules if name.startswith(late)])"
        )
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        self.assertEqual(found.stdout.strip(), "[]", found.stderr)
