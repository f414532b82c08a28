"""Actions and responses, valid and malformed (catalogue K, L-71, L-72)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot import responses
from lgtwist.onebot.action import ActionRequest, read_action, split_suffix
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.responses import read_response_head, with_echo
from tests.rounds import quick

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


class ReadActionTests(SynchronousTestCase):
    def refused(self, payload: bytes) -> BadRequest:
        with self.assertRaises(BadRequest) as caught:
            read_action(payload)
        self.assertEqual(caught.exception.retcode, 1400)
        return caught.exception

    def test_what_is_read(self) -> None:
        """An action has a name, and params and echo with their bytes unchanged."""
        request = read_action(
            b' {"params": {"a" : [1,  2]}, "x": 1, "echo": {"seq":  7}, "action": "send_msg"} '
        )
        self.assertEqual(request, ActionRequest("send_msg", b'{"a" : [1,  2]}', b'{"seq":  7}'))

    def test_params_may_be_missing_or_null(self) -> None:
        """Missing or null params are an empty object; a missing echo is None."""
        self.assertEqual(read_action(b'{"action":"a"}'), ActionRequest("a", b"{}", None))
        self.assertEqual(
            read_action(b'{"action":"a","params":null,"echo":null}'), ActionRequest("a", b"{}", b"null")
        )

    def test_params_of_typed_programs(self) -> None:
        """An empty array or string has no parameters: PHP and others write so; an echo of null is an echo."""
        for params in (b"null", b"[]", b"[ \n]", b'""'):
            request = read_action(b'{"action":"a","params":%b,"echo":null}' % params)
            self.assertEqual(request, ActionRequest("a", b"{}", b"null"))

    def test_what_is_nearly_json(self) -> None:
        """A byte order mark and control characters are forgiven; what is passed on is JSON."""
        text = b'\xef\xbb\xbf{"action":"a",\n"params":{"text":"a\nb\x01\\\\\t","n":"NaN"},"echo":"\r"}'
        self.assertEqual(
            read_action(text),
            ActionRequest("a", b'{"text":"a\\nb\\u0001\\\\\\t","n":"NaN"}', b'"\\r"'),
        )

    def test_what_is_not_an_action(self) -> None:
        """Every text that is not JSON, not an object or not an action is rejected, with its echo."""
        for payload, echo in (
            (b"", None),
            (b" ", None),
            (b"{", None),
            (b"[]", None),
            (b"null", None),
            (b"1", None),
            (b'"x"', None),
            (b"{}", None),
            (b"\xef\xbb\xbf{}", None),
            (b'{"action":5,"echo":1}', b"1"),
            (b'{"action":null,"echo":"a"}', b'"a"'),
            (b'{"action":"","echo":[1]}', b"[1]"),
            (b'{"action":["a"],"echo":true}', b"true"),
            (b'{"echo":{"seq":1}}', b'{"seq":1}'),
            (b'{"action":"a","params":[1],"echo":2}', b"2"),
            (b'{"action":"a","params":false,"echo":2}', b"2"),
            (b'{"action":"a","params":"x","echo":2}', b"2"),
            (b'{"action":"a","params":{,"echo":"3"}', b'"3"'),
            (b'{"echo": "4", "action":"a"', b'"4"'),
            (b'{"action":"a","params":{"a":NaN},"echo":5}', b"5"),
            (b'{"action":"a","echo":NaN}', None),
            (b'{"action":"a","params":{"a":\xff},"echo":6}', b"6"),
            (b'{"action":"a","params":"\xff","echo":7}', b"7"),
            (b'{"action":"a","echo":"\xff"}', None),
            (b'{"action":"a","echo":8}{}', b"8"),
            (b'{"action":"a","echo":9,}', b"9"),
            (b"[" * 100_000, None),
            (b'{"action":"a","params":' + b"[" * 100_000 + b"]" * 100_000 + b',"echo":10}', b"10"),
            (b'{"action":"a","params":' + b'{"a":' * 50_000 + b',"echo":11}', b"11"),
        ):
            self.assertEqual(self.refused(payload).echo, echo, payload[:60])

    def test_valid_json_passes(self) -> None:
        """Long digits, huge exponents, lone surrogates and long strings are JSON, and pass unchanged."""
        for value in (
            b"9" * 5000,
            b"-1e400",
            b'"\\ud83d"',
            b'"\\ud83d\\ud83d"',
            b'{"\\udc00":"\\ud800"}',
            b'"' + b"x" * (31 << 20) + b'"',
            b"[" * 100 + b"]" * 100,
            b'"\\u0000"',
        ):
            request = read_action(b'{"action":"a","params":{"v":%b},"echo":%b}' % (value, value))
            self.assertEqual(request, ActionRequest("a", b'{"v":%b}' % value, value))

    def test_of_equal_keys_the_last_counts(self) -> None:
        """Of duplicate top-level keys the last one counts, however it is spelled."""
        for reader_breaker in (b"1", b'"\\ud83d"'):  # the second is read by the slow reader
            request = read_action(
                b'{"action":"a","action":"b","echo":1,"params":{"x":1},"params":{"x":%b},"\\u0065cho":2}'
                % reader_breaker
            )
            self.assertEqual(request, ActionRequest("b", b'{"x":%b}' % reader_breaker, b"2"))

    def test_an_echo_in_params_is_not_the_echo(self) -> None:
        """Only a top-level echo is one; keys differ by case."""
        self.assertIsNone(read_action(b'{"action":"a","params":{"echo":1},"Echo":2}').echo)

    def test_action_with_a_lone_surrogate(self) -> None:
        """A name with a lone surrogate is accepted, and can be quoted in an error."""
        request = read_action(b'{"action":"\\ud83d"}')
        sentence = responses.failed(1404, f'no such action: "{request.action}"')
        self.assertIn(b"\\ud83d", sentence)
        sentence.decode()

    @quick
    @given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ua1echo ton', max_size=60).map(str.encode))
    def test_any_bytes(self, payload: bytes) -> None:
        """Any bytes are an action or rejected, with an echo that is valid JSON or none."""
        try:
            request = read_action(payload)
        except BadRequest as error:
            answer = with_echo(responses.from_error(error), error.echo)
        else:
            answer = with_echo(responses.ok(), request.echo)
        json.loads(answer.decode(), parse_int=str)

    @quick
    @given(JSON, st.dictionaries(st.text(max_size=5), JSON, max_size=3))
    def test_echo_and_params_come_back_as_sent(self, echo: Any, params: dict[str, Any]) -> None:
        """L-72: the echo comes back exactly as sent, whatever JSON value it was."""
        text = json.dumps({"action": "a", "params": params, "echo": echo}, ensure_ascii=False)
        request = read_action(text.encode())
        self.assertEqual(json.loads(request.params), params)
        answer = with_echo(responses.ok(b"[]"), request.echo)
        self.assertIn(json.dumps(echo, ensure_ascii=False).encode(), answer)
        self.assertEqual(json.loads(answer)["echo"], echo)


class ResponseTests(SynchronousTestCase):
    def test_shapes(self) -> None:
        """A response has status, retcode, data, message, wording, and echo only where one was sent."""
        keys = ["status", "retcode", "data", "message", "wording"]
        for response in (responses.ok(b'{"a":1}'), responses.ACCEPTED, responses.failed(1404, 'no "x"')):
            self.assertEqual(list(json.loads(response)), keys)
            self.assertEqual(list(json.loads(with_echo(response, b"1"))), [*keys, "echo"])

    def test_outcomes(self) -> None:
        """A response reports success or failure; one that cannot be read is a failure."""
        self.assertEqual(read_response_head(responses.ok()).status, "ok")
        self.assertEqual(read_response_head(responses.failed(1404, "x")).retcode, 1404)
        self.assertEqual(read_response_head(b'{"retcode":"x"}').retcode, 1500)

    def test_suffixes(self) -> None:
        """One suffix is removed; a name that consists of a suffix only is kept."""
        for action, expected in (
            ("send_msg", ("send_msg", "")),
            ("send_msg_async", ("send_msg", "_async")),
            ("send_msg_rate_limited", ("send_msg", "_rate_limited")),
            (".handle_quick_operation_async", (".handle_quick_operation", "_async")),
            ("_async", ("_async", "")),
            ("a_ASYNC", ("a_ASYNC", "")),
        ):
            self.assertEqual(split_suffix(action), expected)
