"""The sentences of lgtwist as codes: the real things make them, and both word tables have them."""

from __future__ import annotations

import ast
import json
import os
import re
import ssl
import struct
from pathlib import Path
from typing import Any

from twisted.internet import defer, error
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.accounts.milky.websocket_stream import STREAM_HINTS, with_hint
from lgtwist.app.configuration import parse
from lgtwist.app.data_dir import DataDir
from lgtwist.app.warnings import warnings
from lgtwist.console.reasons import FORMS, FORMS_BY_CODE, explain
from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import Channel
from lgtwist.journal.backpressure import Backpressure
from lgtwist.net.client_endpoints import Verifying, why_unreachable
from lgtwist.net.http_client import why_failed
from lgtwist.runtime.logs import printable
from lgtwist.web.local_origin import why_not_local
from lgtwist.websocket.dial import RefusalWatch
from lgtwist.websocket.liveness import Liveness, PeerVerdict
from tests.hub.fakes import FakeLink, checked_link
from tests.integration.rawclient import CLOSE
from tests.integration.running import ROOT
from tests.net.test_client_endpoints import DAY, NOW, Plain, dial, made
from tests.net.test_client_endpoints import Peer as TlsPeer
from tests.pair import DiallingPair, Pair
from tests.web.site_case import SiteTestCase

PACKAGE = ROOT / "lgtwist"
WORDS = PACKAGE / "console" / "static" / "words"


def literals() -> list[str]:
    """The texts of all modules but the console's, as Python joins them; braces as placeholders leave gaps."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if "console" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


def table(language: str) -> dict[str, str]:
    """A word table: strict JSON within one export."""
    text = (WORDS / language / "reasons.js").read_text("utf-8")
    assert text.startswith("export default {"), text[:40]
    assert text.endswith("};\n"), text[-40:]
    words: dict[str, str] = json.loads(text.removeprefix("export default ").removesuffix(";\n"))
    return words


class FormTests(SynchronousTestCase):
    def explained(self, sentence: str, code: str, **args: str) -> None:
        self.assertEqual(explain(sentence), {"code": code, "args": args, "sentence": sentence})

    def test_codes_are_unique(self) -> None:
        """No code is in two groups, and each is snake_case."""
        self.assertEqual(len(FORMS_BY_CODE), sum(len(group) for group in FORMS.values()))
        for code in FORMS_BY_CODE:
            self.assertRegex(code, r"^[a-z0-9_]+$")
        self.assertNotIn("other", FORMS_BY_CODE)

    def test_the_words_are_in_the_sources(self) -> None:
        """Each form's own words still occur in the sources: who changes a sentence there changes it here."""
        # Between words of two expressions, such as a hint that is added; they occur apart from each other.
        apart = re.compile(
            r""";[ ]|"|[ ]\(|\)|:[ ]|,[ ]|[ ]and[ ]$|[ ]goes[ ]to[ ]|[ ](?=in[ ]its)|[ ](?=an[ ]authority)""",
            re.VERBOSE,
        )
        texts, missing = "\0".join(literals()), []
        for group, forms in FORMS.items():
            for code in forms if group != "system" else ():
                for literal in FORMS_BY_CODE[code].literals:
                    pieces = [literal] if literal in texts else apart.split(literal)
                    missing += [f"{code}: {piece!r}" for piece in pieces if piece.strip(" :") not in texts]
        self.assertFalse(missing, "\n".join(missing))

    def test_each_form_fits_itself(self) -> None:
        """A sentence made from a form has the form's code and its arguments."""
        for group in FORMS.values():
            for code, text in group.items():
                with self.subTest(code=code):
                    form = FORMS_BY_CODE[code]
                    args = {name: "1002" if f"{{{name}:p}}" in text else "7" for name in form.names}
                    sentence = text if code == "path_unknown" else text.replace("{_}", "7")
                    for name in form.names:
                        value = (
                            " 7" if text.endswith(f"d}}{{{name}}}") else args[name]
                        )  # as " Forbidden" behind 403
                        sentence = re.sub(rf"\{{{name}(:[dgp])?\}}", value, sentence)
                    found = explain(sentence)
                    self.assertEqual(found["code"], code)
                    self.assertEqual(
                        {name: value for name, value in found["args"].items() if name in args}, args
                    )

    def test_unknown_sentences(self) -> None:
        """What is not known is other, with its text."""
        self.explained(
            "zażółć <img src=x onerror=alert(1)>", "other", text="zażółć <img src=x onerror=alert(1)>"
        )
        self.explained("", "other", text="")

    def test_peers_words_are_arguments(self) -> None:
        """What a peer says is an argument, also where it says a sentence of ours."""
        self.explained(
            "1008 closed by the peer: closed by us with 1000 lost",
            "closed_by_peer_saying",
            words="closed by us with 1000 lost",
            close_code="1008",
        )
        self.explained(
            "get_login_info failed: the token is wrong", "login_info_failed", words="the token is wrong"
        )

    def test_milky(self) -> None:
        """What mostly goes wrong with a Milky account says what to do, whatever its stream said of it."""
        url = "http://127.0.0.1:3010"
        for said, code in (
            ("refused with HTTP 401 Unauthorized", "milky_refuses_token"),
            ("refused with close code 1008: closed by the peer: Unauthorized", "milky_refuses_token"),
            ("refused with HTTP 404 Not Found", "milky_wrong_address"),
            ("connection was refused by other side", "milky_not_running"),
        ):
            with self.subTest(said=said):
                sentence = f"cannot connect to {url}: {with_hint(said, STREAM_HINTS)}"
                self.explained(sentence, code, url=url, words=said)
        self.explained(f"cannot connect to {url}: no TCP connection within 30 s", "tcp_timeout", seconds="30")
        failed = "get_login_info failed: "
        self.explained(
            f"{failed}the implementation is not logged in (-403: no)", "not_logged_in", words="-403: no"
        )
        self.explained(f"{failed}its url leads to no Milky API: HTTP 404 for /api/x; is it?", "no_milky_api")
        self.explained("its API does not answer: no answer in time", "api_silent", words="no answer in time")
        wrong = "url leads to a server of OneBot 11; Milky's has another port or prefix"
        self.explained(wrong, "no_milky_port")
        self.explained(f"{failed}{wrong}", "no_milky_port")

    def test_ends_of_links(self) -> None:
        """The channel, the close code, and that we closed it, are arguments besides."""
        self.explained("API link: 1006 lost", "lost", link="API", close_code="1006")
        self.explained("event link: silent for 60 s", "silent", seconds="60", link="event")
        self.explained(
            "closed by us with 1008 a message did not end within body_timeout (60 s)",
            "message_unfinished",
            seconds="60",
            close_code="1008",
            by="us",
        )
        self.explained(
            "closed by us with 1001 something new",
            "closed_by_us_saying",
            with_code="1001",
            words="something new",
        )
        self.explained("1000 something new", "other", text="something new", close_code="1000")

    def test_addresses_are_whole(self) -> None:
        """An IPv6 address keeps its colons."""
        self.explained(
            "refused ::1: address ::2 is not loopback and account 1 has no token; set it",
            "not_local_address",
            peer="::1",
            address="::2",
            owner="account 1",
            key="token",
        )

    def test_certificates_of_the_port(self) -> None:
        """That of an issuer is told from our own."""
        ending = "has expired, on 2026-01-01 00:00 UTC: clients will refuse it"
        day = "2026-01-01 00:00 UTC"
        self.explained(f"the certificate /x.pem {ending}", "own_certificate_expired", path="/x.pem", day=day)
        self.explained(
            f"the certificate of CN=y, sent with /x.pem, {ending}",
            "chain_certificate_expired",
            issuer="CN=y",
            path="/x.pem",
            day=day,
        )

    def test_long_sentences(self) -> None:
        """Long and odd texts take no long time."""
        for text in ("a and " * 50_000, "refused : and" * 30_000, "\u202e" * 100_000, "1008 " * 9999):
            self.assertLess(len(explain(text)["args"].get("text", "")), 500)


class RealSentenceTests(SynchronousTestCase):
    """The real things make sentences of known codes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account(10001, self.clock, self.clock.seconds)

    def code(self, sentence: str | None) -> str:
        assert sentence
        return str(explain(sentence)["code"])

    def open(self, channel: Channel = Channel.BOTH, *, silent: bool = False) -> FakeLink:
        link: FakeLink = checked_link(self.account)
        if silent:
            link.introductions.clear()
        self.account.links.opened(link, channel, "")
        return link

    def test_account(self) -> None:
        """Why an account is not up."""
        account = self.account
        self.assertEqual(self.code(account.reason), "never_connected")
        link = self.open(silent=True)
        self.assertEqual(self.code(account.reason), "login_info_unanswered")
        account.receive(1, b'{"status":"failed","retcode":100,"wording":"not <b>yet</b>"}')
        self.assertEqual(explain(account.reason)["args"], {"words": "not <b>yet</b>"})
        account.links.refuse(link, 5)
        self.assertEqual(explain(account.reason)["args"], {"other": "5", "account": "10001"})
        self.open(Channel.ACTIONS)
        self.assertEqual(self.code(account.reason), "no_event_link")
        self.account = account = Account(10001, self.clock, self.clock.seconds)
        self.open(Channel.EVENTS)
        self.assertEqual(self.code(account.reason), "no_api_link")

    def test_presence(self) -> None:
        """Why it is up but offline."""
        self.open()
        self.account.links.status_received(False)
        self.assertEqual(self.code(self.account.reason), "reported_offline")
        self.open()
        self.account.publish(b'{"post_type":"notice","notice_type":"bot_offline"}')
        first = self.open()
        second = self.open()
        self.assertIsNotNone(first.closed)
        assert first.closed is not None
        self.assertEqual(self.code(first.closed[1]), "newer_link")
        self.account.links.closed(second, "1006 lost", code=1006, words="lost")
        self.assertEqual(explain(self.account.reason)["args"], {"close_code": "1006"})

    def test_dial(self) -> None:
        """Why dialling fails, by Twisted's own errors."""
        for failure, code in (
            (error.ConnectionRefusedError(os.strerror(111)), "connection_was_refused"),
            (error.TimeoutError(), "tcp_timeout"),
            (error.DNSLookupError(), "host_unknown"),
        ):
            self.assertEqual(self.code(why_unreachable(Failure(failure))), code)
        for number, code in (
            (111, "connection_refused"),
            (113, "no_route"),
            (101, "network_unreachable"),
            (104, "connection_reset"),
        ):
            refused = error.ConnectError()
            refused.osError = OSError(number, os.strerror(number))
            self.assertEqual(self.code(why_unreachable(Failure(refused))), code)
        reasons: list[str] = []
        watch = RefusalWatch(self.clock, lambda reason, _logged: reasons.append(reason))
        watch.opened()
        watch.closed(1008, "closed by the peer: bad token")
        self.assertEqual(explain(reasons[0])["args"], {"with_code": "1008", "words": "bad token"})
        self.assertEqual(self.code("refused with HTTP 403 Forbidden"), "refused_http_403")
        self.assertEqual(
            explain("refused with HTTP 502 Bad Gateway")["args"], {"status": "502", "words": "Bad Gateway"}
        )

    def test_http(self) -> None:
        """Why requests fail."""
        for failure, code in (
            (defer.TimeoutError(), "no_answer_in_time"),
            (error.ConnectionLost(), "connection_lost"),
            (error.ConnectionDone(), "connection_closed"),
        ):
            self.assertEqual(self.code(why_failed(failure)), code)

    def test_liveness(self) -> None:
        """Why a dead peer is dropped."""
        liveness = Liveness(0.0, 30.0, 60.0)
        self.assertEqual(self.code(liveness.reason(PeerVerdict.DEAD)), "silent")
        self.assertEqual(self.code(liveness.reason(PeerVerdict.MUTE)), "no_heartbeat")

    def test_journal(self) -> None:
        """Why events of an account are paused."""
        backpressure = Backpressure(1000)
        told: list[str] = []
        backpressure.observe(lambda _account, reason: told.append(reason))
        backpressure.added(10001, 5000, 5000)
        self.assertEqual(self.code(told[0]), "journal_waits")
        self.assertEqual(explain(told[0])["args"]["account"], "10001")

    def test_warnings(self) -> None:
        """What is warned of at the start."""
        config = parse(
            """
            [[accounts]]
            type = "forward-websocket"
            self_id = 1
            url = "ws://198.51.100.7:3001"
            access_token = "token-token-token"
            [[accounts]]
            type = "forward-websocket"
            self_id = 2
            url = "ws://198.51.100.7:3001/?access_token=secret-secret"
            """
        )
        folder = Path(self.mktemp())
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        open_folder = DataDir(folder).warning()
        assert open_folder is not None
        codes = [self.code(sentence) for sentence in warnings(config) if "data_dir" not in sentence]
        self.assertEqual(codes, ["token_unencrypted", "query_token_unencrypted"])
        self.assertEqual(self.code(open_folder), "data_dir_open")

    def test_handshakes(self) -> None:
        """Why requests are not taken for those of this machine."""
        local = {"host": "127.0.0.1"}
        for headers, code in (
            ({**local, "x-forwarded-for": "1"}, "not_local_proxy"),
            ({"host": "evil.example"}, "not_local_host"),
            ({**local, "origin": "https://evil.example"}, "not_local_page"),
        ):
            why = why_not_local(headers, (), False)
            self.assertEqual(self.code(f'refused 127.0.0.1: {why} and bot "x" has no token; set it'), code)


class EndTests(SynchronousTestCase):
    """Why WebSockets end, by real connections in memory."""

    def explained(self, peer: Any) -> tuple[str, dict[str, str]]:
        for _step in range(20):
            peer.pair.advance(1.0)
        found = explain(printable(peer.handler.named("closed")[-1][2]))
        return found["code"], found["args"]

    def test_open(self) -> None:
        """Of an open WebSocket: what the peer did, or we."""
        by_us = {"by": "us"}
        cases: list[tuple[Any, str, dict[str, str]]] = [
            (lambda peer: peer.lose(), "peer_vanished", {}),
            (lambda peer: peer.close(1000), "closed_by_peer", {}),
            (
                lambda peer: peer.send(struct.pack("!H", 1008) + b"<b>no</b>", CLOSE),
                "closed_by_peer_saying",
                {"words": "<b>no</b>"},
            ),
            (
                lambda peer: peer.pair.factory.close(peer.connection, 1000, "a newer link took over"),
                "newer_link",
                {**by_us, "close_code": "1000"},
            ),
            (lambda peer: peer.send(b"\xff\xff"), "not_utf8", {**by_us, "close_code": "1007"}),
            (lambda peer: peer.send(b"x" * 3000), "message_too_large", {**by_us, "close_code": "1009"}),
            (
                lambda peer: peer.close(999),
                "closed_by_us_protocol",
                {"protocol_error": "1002", "words": "invalid close code 999"},
            ),
            (lambda peer: peer.pair.factory.abort(peer.connection, "a send failed"), "send_failed", {}),
        ]
        for act, code, args in cases:
            peer = Pair(max_message=2000).connect().open()
            act(peer)
            self.assertEqual(self.explained(peer), (code, args))

    def test_dialled(self) -> None:
        """Of an opening handshake that failed."""
        upgrade = (
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
        )
        for answer, code, args in (
            (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "refused_http_401", {"words": "Unauthorized"}),
            (b"HTTP/1.1 404 \r\n\r\n", "refused_http_404", {"words": ""}),
            (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "refused_http", {"status": "502", "words": "Bad Gateway"}),
            (b"SSH-2.0\r\n\r\n", "not_http", {"words": '"SSH-2.0"'}),
            (b"HTTP/1.1 101 X\r\n\r\n", "no_upgrade", {"header": "Upgrade"}),
            (upgrade, "wrong_accept", {}),
            (b"x" * 100_000, "handshake_unanswered", {}),
            (b"", "handshake_timeout", {"seconds": "5"}),
        ):
            peer = DiallingPair().connect()
            peer.bytes(answer)
            self.assertEqual(self.explained(peer), (code, args))

    def test_tls(self) -> None:
        """Of a certificate that is refused."""
        authority, other = made("My CA", authority=True), made("Their CA", authority=True)
        for shown, code in (
            (made("x", authority, ["a.example"]), "certificate_other_host"),
            (made("x", authority, ["localhost"], end=NOW - DAY), "certificate_expired"),
            (made("x", authority, ["localhost"], begin=NOW + DAY), "certificate_too_early"),
            (made("x", other, ["localhost"]), "certificate_authority"),
            (made("x", None, ["localhost"]), "certificate_self_signed"),
        ):
            path = Path(self.mktemp())
            shown.write(path)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
            words = dial(Verifying("localhost", authority.root()), TlsPeer(context)).words
            self.assertEqual(explain(printable(words))["code"], code, words)
        words = dial(Verifying("localhost", authority.root()), Plain(b"HTTP/1.1 400 Bad\r\n\r\n")).words
        self.assertEqual(explain(printable(words))["code"], "no_tls", words)


class PortTests(SiteTestCase):
    """Why the port refuses handshakes: the whole port in memory."""

    toml = """
        [[accounts]]
        self_id = 1
        [[accounts]]
        self_id = 2
        type = "reverse-websocket"
        access_token = "right-2"
        [[accounts]]
        self_id = 3
        type = "http"
        url = "http://127.0.0.1:1/"
        secret = "secret"
        [[accounts]]
        self_id = 4
        type = "reverse-websocket"
        [[bots]]
        name = "one"
        access_token = "right"
        accounts = [1, 2]
    """

    def code(self) -> str:
        """Why it refused last."""
        refused = self.service.port.refused_handshakes.recent()
        self.service.port.refused_handshakes._entries.clear()
        self.service.port.connection_limits._failures.clear()
        return str(explain(refused[0].sentence)["code"])

    def test_handshakes(self) -> None:
        """Each has a code of its own."""
        right, implementation = {"Authorization": "Bearer right"}, "/onebot/v11/ws"
        cases: list[tuple[str, dict[str, str], str, str]] = [
            ("/", {}, "localhost", "token_needed"),
            ("/", {"Authorization": "Bearer"}, "localhost", "token_not_set"),
            ("/", {"Authorization": "Bearer wrong"}, "localhost", "token_wrong"),
            ("/?access_token=a&access_token=b&access_token=c", {}, "localhost", "too_many_tokens"),
            ("/9/", right, "localhost", "unknown_account_of_bot"),
            ("/3/", right, "localhost", "account_forbidden"),
            ("/2/", right, "localhost", "account_not_up"),
            ("/1/", {**right, "Sec_WebSocket_Version": "12"}, "localhost", "websocket_version"),
            ("/1/", {**right, "Sec_WebSocket_Key": "x"}, "localhost", "websocket_key"),
            ("/nothing/nothing", right, "localhost", "path_unknown"),
            ("/", {"X_Client_Role": "Universal", "X_Self_ID": "2"}, "localhost", "path_of_bots"),
            (implementation, {}, "localhost", "path_of_implementations"),
            (implementation, {"X_Self_ID": "9"}, "localhost", "unknown_account"),
            (implementation, {"X_Self_ID": "2"}, "localhost", "token_needed"),
            (implementation, {"X_Self_ID": "4"}, "example.org", "not_local_host"),
            (implementation, {"X_Self_ID": "4", "X_Forwarded_For": "::1"}, "localhost", "not_local_proxy"),
            (implementation, {"X_Self_ID": "4", "Origin": "http://x.example"}, "localhost", "not_local_page"),
        ]
        for path, headers, host, code in cases:
            self.dial(path, host, **headers).read()
            self.clock.advance(3)  # one waits for its account
            self.assertEqual(self.code(), code, (path, headers))

    def test_requests(self) -> None:
        """So have requests that are no handshakes, and posts."""
        post = "/onebot/v11/post"
        for path, method, headers, code in (
            ("/1/event", "GET", {}, "role_is_websocket"),
            ("/onebot/v11/ws", "GET", {"X_Self_ID": "4"}, "this_is_websocket"),
            (post, "POST", {}, "self_id_missing"),
            (post, "POST", {"X_Self_ID": "2"}, "unknown_account"),
            (post, "POST", {"X_Self_ID": "3"}, "signature_missing"),
            (post, "POST", {"X_Self_ID": "3", "X_Signature": "sha1=00"}, "signature_wrong"),
        ):
            self.get(path, method, b"{}" if method == "POST" else b"", **headers).read()
            self.assertEqual(self.code(), code, (path, headers))

    def test_a_proxy_that_loses_headers(self) -> None:
        """A handshake without Upgrade is told from other requests."""
        key = {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Version": "13"}
        self.get("/", Authorization="Bearer right", **key).read()
        self.assertEqual(self.code(), "upgrade_missing")
        self.get("/", Authorization="Bearer right", Upgrade="websocket", **key).read()
        self.assertEqual(self.code(), "connection_missing")


class WordTests(SynchronousTestCase):
    def test_both_tables(self) -> None:
        """Both languages have a text for each code and each reason of a refusal, with the same places."""
        chinese, english = table("zh"), table("en")
        wanted: dict[str, Any] = {f"reason.{code}": set(form.names) for code, form in FORMS_BY_CODE.items()}
        wanted["reason.other"] = {"text"}
        for reason in ("token", "account", "host", "handshake", "path", "limit"):
            wanted[f"refused.{reason}"] = set()
        self.assertEqual(list(chinese), list(english))
        for words in (chinese, english):
            self.assertEqual(set(words), set(wanted))
            for key, text in words.items():
                self.assertEqual(set(re.findall(r"\{(\w+)\}", text)), wanted[key], key)
                self.assertTrue(text.isprintable(), key)
        for key, text in chinese.items():
            self.assertTrue(key == "reason.other" or re.search("[\u4e00-\u9fff]", text), key)
