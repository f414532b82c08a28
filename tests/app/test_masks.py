"""Secrets of a configuration's text behind masks, and back."""

from __future__ import annotations

import json
import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.masks import MASK, MaskProblem, hide, mask, unmask, without_secrets
from tests.rounds import SLOWNESS, quick

SECRET = "pLaNtEd-s3cret_zZ9"
#: Lines that may stand anywhere in a file, ``%`` in place of a secret.
LINES = [
    'access_token = "%"',
    "access_token = '%'",
    'access_token="%" # and "%" is the old one, access_token = "%"',
    'access_token = """%"""',
    'access_token = """\n  %\n"""',
    "access_token = '''\n%'''",
    'access_token = "a\\"%"',
    '"access_token" = "%"',
    "'access_token' = \"%\"",
    '"access\\u005ftoken" = "%"',
    'server.admin_token = "%"',
    'a."secret".b = "%"',
    'Access-Token = "%"',
    'token = ["%", "b", \'%\']',
    'token = [\n  "%", # %\n]',
    'bots = [{ name = "a", access_token = "%" }, {secret=\'%\'}]',
    'x = { y = { password = "%" }, access_token = "%"}',
    "access_token = %",
    "access_token = %#%",
    'access_token = "%',
    'access_token = “%”',
    "access_token: %",
    'access_token "%"',
    'access_token = "%"x"%"',
    'url = "ws://127.0.0.1/?access_token=%"',
    'url = "ws://127.0.0.1/?a=1&TOKEN=%&b=2"',
    'url = "ws://127.0.0.1/?%%61ccess_token=%"',
    'url = "ws://user:%@127.0.0.1/"',
    "url = 'wss://%@[::1]:1/x'",
    'urls = ["http://a/", "http://a/?key=%"]',
    'header = "Bearer %"',
    'access_token_file = "%"',
    '# access_token = "%"',
    "#access_token='%'",
    "# access_token = %",
    '# "token": "%", "x": 1',
    "# ONEBOT_ACCESS_TOKEN=%",
    '# access_key = "%"',
    "#push_key='%'",
    '# private-key: "%"',
    '# pass_word = "%"',
    '# acces\\u0073_key = "%"',
    'private_key\n=\n"%"',
    '# access_token = "%  (not closed)',
    '# bots = [{ access_token = "%" }]',
    "# ws://127.0.0.1:8081/?access_token=%",
    "# wget --header 'Authorization: Bearer %'",
    "# 令牌 access_token：%",
    "# 令牌：%",
    "# the token of before, %, was longer",
    '# access_token = """\n#  %\n# """',
    "name = 'a' # password=%",
    '[[alerts]]\nurl = "https://example.org/%.send"',
    '# [[alerts]]\n# url = "https://example.org/%.send"',
    '[access_token]\nx = "%"',
    'access_token =\n"%"',
    "access_token\n=\n'%'",
    'access_token -> "%"',
    'access_token->"%"',
    "[admin_token]\n%",
    'url = "//me:%@127.0.0.1/"',
    'url = "me:%@127.0.0.1:80"',
    'headers = ["Authorization: %"]',
    "headers = ['X-Token: %']",
    'command = "curl -H token=%"',
    'text = """\n[server]\naccess_token = \'%\'\n"""',
    "password = 123%",
]  # fmt: skip
OTHERS = [
    "", "# a comment", "data_dir = 'x'",
    "[server]", "[[bots]]", "[[accounts]]", "[bots.actions]", "self_id = 1",
    'deny = ["*_kick", # no\n "x"]', "[", "]]", "= 1", '"""', "'", "\t", "•",
    f"# {MASK}1", f'name = "{MASK}22"',
    'token = ""', "• access_token", "reconnect = { min = '1s' }", "\\u0041", "#", "[a.'b c'.\"d\"]", "x = {",
]  # fmt: skip


def documents(lines: list[str]) -> st.SearchStrategy[str]:
    """Texts of such lines, with every kind of line end."""
    pieces = st.lists(st.sampled_from(lines), max_size=8)
    return st.tuples(pieces, st.sampled_from(["\n", "\r\n"])).map(lambda two: two[1].join(two[0]))


def planted(line: str) -> str:
    return line.replace("%%", "\0").replace("%", SECRET).replace("\0", "%")


class MaskTests(SynchronousTestCase):
    def test_no_secret_stays(self) -> None:
        for line in LINES:
            for text in (planted(line), f"[[bots]]\r\n{planted(line)}\r\nname = 'a'\r\n"):
                masked = mask(text)
                self.assertNotIn(SECRET, masked.text, line)
                self.assertIn(MASK, masked.text)
                self.assertEqual(unmask(masked.text, masked.secrets), text, line)
                self.assertNotIn(SECRET, hide(text, ()), line)

    @given(documents([*map(planted, LINES), *OTHERS]))
    @quick
    def test_masking_and_back(self, text: str) -> None:
        masked = mask(text)
        self.assertEqual(unmask(masked.text, masked.secrets), text)

    @given(
        documents(
            [*map(planted, LINES), *(one for one in OTHERS if one not in ('"""', "'", "x = {", "[", "]]"))]
        )
    )
    @quick
    def test_no_secret_stays_among_others(self, text: str) -> None:
        self.assertNotIn(SECRET, mask(text).text)

    @given(st.text(st.sampled_from("aB1 _=.[]{}#,\"'\\\n\r\t•token:/@?&url"), max_size=60))
    @quick
    def test_any_text_comes_back(self, text: str) -> None:
        masked = mask(text)
        self.assertEqual(unmask(masked.text, masked.secrets), text)

    def test_a_string_that_is_not_closed(self) -> None:
        for quotes in ('"""', "'''"):
            for line in LINES:
                if quotes in line:
                    continue  # it closes the string
                for text in (
                    f"x = {quotes}\n{planted(line)}\n",
                    f"# a\r\n[a]\r\nb = {quotes}x\r\n{planted(line)}",
                ):
                    masked = mask(text)
                    if line.startswith(("[access_token]", "token = [")):
                        continue
                    self.assertNotIn(SECRET, masked.text, text)
                    self.assertEqual(unmask(masked.text, masked.secrets), text)

    def test_the_time_grows_with_the_length(self) -> None:
        for piece in ("token", "token.", "\\u0041", "token=“", f"{MASK}1", 'token="', "key ", "令牌："):
            for before in ("# ", 'x = "', "x = "):
                text = (before + piece * 9_000)[:20_000]
                start = time.thread_time()
                masked = mask(text)
                unmask(masked.text, masked.secrets)
                self.assertLess(time.thread_time() - start, 1.5 * SLOWNESS, text[:30])

    def test_a_short_secret_is_not_in_a_sentence(self) -> None:
        secrets = mask('[server]\nadmin_token = "x7!q"\n').secrets
        self.assertEqual(
            without_secrets("the port 'x7!q' is no number", secrets), f"the port '{MASK}' is no number"
        )
        self.assertEqual(without_secrets("x7!q is no key", secrets, "x7!q = 1"), "x7!q is no key")

    def test_what_is_no_secret_is_shown(self) -> None:
        text = (
            'data_dir = "data"\nname = "bot"\nurl = "ws://127.0.0.1:1/ws?x=1"\n'
            'access_token_file = "run/token"\n'
            'token = ""\n# the token is in the file\n# write the token there\nca_file = "ca.pem"\n'
            'on = ["tokens"]\nfailed_handshakes = 3\n'
        )
        self.assertEqual(mask(text).text, text)

    def test_a_mask_may_move_to_another_secret(self) -> None:
        masked = mask('[[bots]]\naccess_token = "one-secret"\nsecret = \'two"secret\'\n')
        swapped = masked.text.replace("1", "3").replace("2", "1").replace("3", "2")
        self.assertEqual(
            unmask(swapped, masked.secrets),
            '[[bots]]\naccess_token = \'two"secret\'\nsecret = "one-secret"\n',
        )
        moved = unmask(f"# kept: {MASK}1\n{masked.text}", masked.secrets)
        assert isinstance(moved, str)
        self.assertTrue(moved.startswith("# kept: one-secret\n"))

    def test_a_mask_of_nothing(self) -> None:
        masked = mask('access_token = "one-secret"\n')
        for number in ("2", "", "0", "00000000000000000001"):
            problems = unmask(f'x = 1\naccess_token = "{MASK}{number}"\n', masked.secrets)
            assert isinstance(problems, list)
            self.assertEqual([(one.code, one.offset) for one in problems], [("unknown_mask", 22)], number)

    def test_a_mask_where_no_secret_belongs(self) -> None:
        """Else a name would show it, or the sentence about a value that is none of the choices."""
        masked = mask('access_token = "one-secret"\nurl = "ws://h/?token=another-secret"\n')
        for line in (f'name = "{MASK}1"', f'data_dir = "x{MASK}1"', f"[{MASK}2]", f'connection = "{MASK}2"'):
            problems = unmask(f"{line}\n", masked.secrets)
            assert isinstance(problems, list), (line, problems)
            self.assertEqual([one.code for one in problems], ["misplaced_mask"], line)
            self.assertIn("no secret belongs here", problems[0].sentence)

    def test_hiding(self) -> None:
        masked = mask('access_token = "one-secret"\n')
        sent = f'access_token = "{MASK}1"\nsecret = "typed-just-now"\nx = "one-secret"\n'
        self.assertEqual(
            hide(sent, masked.secrets), f'access_token = "{MASK}1"\nsecret = "{MASK}"\nx = "{MASK}"\n'
        )

    def test_json_strings_are_toml(self) -> None:
        value = json.dumps('quote " back \\ é')
        text = f"access_token = {value}\n"
        masked = mask(text)
        self.assertEqual(masked.text, f'access_token = "{MASK}1"\n')
        self.assertEqual(unmask(masked.text, masked.secrets), text)
        self.assertEqual(MaskProblem(0, "3", "unknown_mask").number, "3")
