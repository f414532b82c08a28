from __future__ import annotations

import json
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters import reading
from lgtwist.filters.document import MAX_FILTER, MAX_FILTER_DEPTH, NotJson, parse_document
from lgtwist.filters.mistakes import BadFilter, FilterMistake, path_to
from lgtwist.filters.reading import MAX_MISTAKES, MAX_TESTS, Grammar, read_filter
from lgtwist.onebot.event import BadEvent, read_event
from tests.filters.test_subject import JSON, MESSAGES
from tests.rounds import quick

EVENT = read_event(
    b'{"post_type":"message","group_id":123,"sender":{"role":"owner","level":1},"message":"hi","flag":true}'
)


def passes(text: str) -> bool:
    """Whether the event passes a filter."""
    return read_filter(text).passes(EVENT)


class DocumentTests(SynchronousTestCase):
    def test_values(self) -> None:
        """Every kind of JSON value has its text, and equal keys are all there."""
        text = ' { "a" : [1, -2.5e3, "x\\u4e2d", true, false, null], "a": {} , "b" :[ ] } '
        document = parse_document(text)
        self.assertEqual(document.source, text.strip())
        self.assertEqual([key for key, _node in document.value], ["a", "a", "b"])
        self.assertEqual(document.value[0][1].source, '[1, -2.5e3, "x\\u4e2d", true, false, null]')
        self.assertEqual(document.value[0][1].plain(), [1, -2500.0, "x中", True, False, None])
        self.assertEqual(document.plain(), {"a": {}, "b": []})
        self.assertEqual(parse_document("\ufeff{}").plain(), {})
        self.assertEqual(parse_document("9" * 5000).plain(), float("inf"))

    def test_the_place_of_what_is_no_json(self) -> None:
        for text, words in [
            ("", "empty"),
            (" \n", "empty"),
            ('{"a": }', "a value at line 1, column 7"),
            ('{"a": 1\n "b": 2}', "a comma or } at line 2, column 2"),
            ("{'a': 1}", "a key in double quotes at line 1, column 2"),
            ('{"a" 1}', "a colon at line 1, column 6"),
            ('{"a": 1,}', "a key in double quotes at line 1, column 9"),
            ('{"a": [1 2]}', "a comma or ] at line 1, column 10"),
            ('{"a": "x', "a string at line 1, column 7"),
            ('{"a": "\n"}', "a string at line 1, column 8"),
            ('{"a": "\\x"}', "a string at line 1, column 8"),
            ('{"a": 01}', "a comma or } at line 1, column 8"),
            ('{"a": NaN}', "a value at line 1, column 7"),
            ('{"a": 1} x', "the end at line 1, column 10"),
            ("{} // x", "the end at line 1, column 4"),
            ('{"a":' * (MAX_FILTER_DEPTH + 1), "objects and arrays inside each other"),
            ("[" * 100_000, "objects and arrays inside each other"),
            ("{" + " " * MAX_FILTER, "characters"),
        ]:
            with self.assertRaises(NotJson) as caught:
                parse_document(text)
            self.assertIn(words, str(caught.exception), text[:30])

    @quick
    @given(JSON)
    def test_as_python_has_it(self, value: object) -> None:
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
            self.assertEqual(parse_document(text).plain(), json.loads(text))

    @quick
    @given(st.text('{}[]":,\\ntrue0123.-e ', max_size=12))
    def test_refuses_what_python_refuses(self, text: str) -> None:
        try:
            json.loads(text)
        except ValueError:
            with self.assertRaises(NotJson):
                parse_document(text)
        else:
            parse_document(text)


class GrammarTests(SynchronousTestCase):
    def grammar(self, text: str) -> Grammar:
        """The grammar of a filter, whatever LLBot's half makes of it."""
        with patch.object(reading, "compile_sift", lambda _value, _mistakes: lambda _subject: True):
            return read_filter(text).grammar

    def test_operators_tell(self) -> None:
        for text, grammar in [
            ("{}", Grammar.EITHER),
            ('{"group_id": 123, "sender.role": "owner"}', Grammar.EITHER),
            ('{"sender": {"role": "owner"}}', Grammar.EITHER),
            ('{".or": []}', Grammar.GO_CQHTTP),
            ('{"a": {".in": ["$x"]}}', Grammar.GO_CQHTTP),
            ('{".or": [{"a": {"b": {".not": {}}}}]}', Grammar.GO_CQHTTP),
            ('{"message.#": 2}', Grammar.GO_CQHTTP),
            ('{"message.0.type": "at"}', Grammar.EITHER),
            ('{"$or": [{"a": 1}]}', Grammar.LLBOT),
            ('{"a": {"$in": [".x"]}}', Grammar.LLBOT),
            ('{"message.type": "at"}', Grammar.LLBOT),
            ('{"message.data.qq": "10001"}', Grammar.LLBOT),
            # values of operators are not searched for operators
            ('{"a": {".eq": {"$x": 1}}}', Grammar.GO_CQHTTP),
            ('{"a": {"$eq": {".x": 1}}}', Grammar.LLBOT),
        ]:
            self.assertIs(self.grammar(text), grammar, text)

    def test_mixed(self) -> None:
        """Both grammars in one filter are a mistake, which names both operators."""
        for text, path in [
            ('{".or": [{"a": {"$in": [1]}}]}', ".or[0].a.$in"),
            ('{"$or": [{"a": {".in": [1]}}]}', "$or"),
            ('{"a": {".neq": 1, "$ne": 2}}', "a.$ne"),
            ('{"message.#(type==\\"at\\").data.qq": {"$eq": "1"}}', "data.qq.$eq"),
        ]:
            with self.assertRaises(BadFilter) as caught:
                read_filter(text)
            [mistake] = caught.exception.mistakes
            self.assertTrue(mistake.path.endswith(path), mistake)
            self.assertIn("LLBot's", mistake.sentence)
            self.assertIn("go-cqhttp's", mistake.sentence)

    def test_filters_without_operators(self) -> None:
        """They compare strings, as go-cqhttp does, and an object is a filter of the value."""
        for text, verdict in [
            ("{}", True),
            ('{"group_id": 123}', True),
            ('{"group_id": "123"}', True),
            ('{"group_id": 124}', False),
            ('{"group_id": 123, "flag": true}', True),
            ('{"group_id": 123, "flag": false}', False),
            ('{"sender": {"role": "owner"}}', True),
            ('{"sender.role": "owner"}', True),
            ('{"sender.role": "admin"}', False),
            ('{"nothing": null}', True),
            ('{"message": "hi"}', True),
        ]:
            self.assertIs(passes(text), verdict, text)

    def test_llbots_half_gets_plain_values(self) -> None:
        given_to: list[object] = []

        def compile_it(value: object, mistakes: list[FilterMistake]) -> object:
            given_to.append(value)
            mistakes.append(FilterMistake("a.$x", "no"))
            return None

        with patch.object(reading, "compile_sift", compile_it), self.assertRaises(BadFilter) as caught:
            read_filter('{"a": {"$x": 1, "$x": [2.5, {}]}}')
        self.assertEqual(given_to, [{"a": {"$x": [2.5, {}]}}])
        self.assertEqual(str(caught.exception), "a.$x: no")


class MistakeTests(SynchronousTestCase):
    def mistakes(self, text: str) -> list[tuple[str, str]]:
        """Where a filter has mistakes, and which."""
        with self.assertRaises(BadFilter) as caught:
            read_filter(text)
        return [(one.path, one.sentence) for one in caught.exception.mistakes]

    def test_no_object(self) -> None:
        for text in ("[]", "1", '"x"', "null"):
            self.assertEqual(self.mistakes(text), [("", "expected a JSON object, such as {}")])
        self.assertIn("not JSON", self.mistakes("{")[0][1])

    def test_what_is_often_written(self) -> None:
        """What people write that JSON does not have is told, with what to write."""
        for text, words in (
            ('{"a": {".regex": "^\\d"}}', "column 20; a backslash is written twice"),
            ("{'a': 1}", "in place of '"),
            ("{\"a\": 'b'}", "in place of '"),
            ('{"a": 1,}', "no comma stands behind the last one"),
            ('{"a": [1,]}', "no comma stands behind the last one"),
            ('{"a": 1 // b\n}', "no comments"),
            ("{“a”: 1}", 'write "'),
            ('{"a"：1}', "write :"),
            ('{"a": 1，"b": 2}', "write ,"),
            ('{"a": "b\n"}', "line break"),
        ):
            [(path, sentence)] = self.mistakes(text)
            self.assertEqual(path, "")
            self.assertIn(words, sentence, text)
        for text in ('{"a":}', '{"a"}', "[1}", '{"a": 1]'):
            self.assertNotIn(";", self.mistakes(text)[0][1])

    def test_every_mistake_is_named(self) -> None:
        """With its path, which counts from 0 and shows the operators."""
        found = self.mistakes(
            '{".or": [{"a": {".in": 3}}, 4, {".nor": []}], ".not": [], "b": {".regex": "("},'
            ' "c": {"d": {".contains": null, "e*": 1}}, "": {".eq": 1}}'
        )
        self.assertEqual(
            [path for path, _sentence in found],
            [
                ".or[0].a..in",
                ".or[1]",
                ".or[2]..nor",
                ".not",
                "b..regex",
                "c.d..contains",
                "c.d.e*",
                "(empty key)",
            ],
        )
        sentences = " / ".join(sentence for _path, sentence in found)
        for words in (
            "an array, or a string",
            "expected an object",
            ".not, .and, .or",
            "missing )",
            "wildcard",
        ):
            self.assertIn(words, sentences)

    def test_too_many_mistakes(self) -> None:
        members = ",".join(f'"a{number}": {{".x": 1}}' for number in range(MAX_MISTAKES + 30))
        found = self.mistakes("{" + members + "}")
        self.assertEqual(len(found), MAX_MISTAKES + 1)
        self.assertEqual(found[-1], ("", "and 30 more mistakes"))

    def test_too_many_tests(self) -> None:
        members = ",".join(f'"a{number}": 1' for number in range(MAX_TESTS + 1))
        self.assertIn("tests", self.mistakes("{" + members + "}")[0][1])
        listed = json.dumps({"group_id": {".in": list(range(20_000))}})
        self.assertTrue(passes(listed))

    def test_paths_are_clean(self) -> None:
        """A path is one line of a log, whatever a key has."""
        self.assertEqual(path_to("a", "b\n\x1b[0m"), "a.b\ufffd\ufffd[0m")
        self.assertEqual(path_to("", "x" * 1000), "x" * 60 + "...")
        self.assertEqual(path_to("", ".or"), ".or")

    def test_gjson(self) -> None:
        """What filters do not have of gjson is a mistake that says what it is."""
        for key, words in [
            ("a.", "empty"),
            ("a..b", "empty"),
            ("a|b", "pipe"),
            ("a*", "wildcard"),
            ("a?.b", "wildcard"),
            ("a\\.b", "escapes"),
            ("@this", "modifiers"),
            ("a.@reverse", "modifiers"),
            ("!x", "literals"),
            ("{a,b}", "multipaths"),
            ("a.[b,c]", "multipaths"),
            ("a#", "alone"),
            ("message.##", "alone"),
            ("message.#(type)", "#(key=="),
            ('message.#(type=="at")#', "first"),
            ('message.#(type=="at")#.data', "first"),
            ('message.#(type=="at"', "#(key=="),
            ('message.#(type=="at")x', "dot"),
            ('message.#(type=="at")|data', "pipe"),
            ('message.#(type="at")', "operator ="),
            ('message.#(type!="at")', "operator !="),
            ('message.#(type%"a*")', "operator %"),
            ("message.#(data.qq>1)", "operator >"),
            ("message.#(data.qq==)", "#(key=="),
            ('message.#(=="at")', "empty"),
            ('message.#[type=="at"]', "#(key=="),
            ('message.#(a.#(b=="c")=="d")', "#(key=="),
            ("message.#(a==~true)", "~true"),
            ("message.#(a.#==1)", "inside a query"),
            ('a.#(b=="c").d.#(e=="f")', "one query"),
            (".".join("a" * 40), "parts"),
        ]:
            [(_path, sentence)] = self.mistakes(json.dumps({key: 1}))
            self.assertIn(words, sentence, key)

    def test_equality(self) -> None:
        """Filters are equal if their texts are, so that a reload sees whether one has changed."""
        self.assertEqual(read_filter('{"a":1}'), read_filter('{"a":1}'))
        self.assertNotEqual(read_filter('{"a":1}'), read_filter('{"a": 1}'))
        self.assertEqual(hash(read_filter("{}")), hash(read_filter("{}")))


#: Filters of go-cqhttp's grammar, right and wrong.
ARGUMENTS = JSON | st.sampled_from(["a", "^[a-z]+$", "(a", "", "123", 1, [1, "a", None], {"a": 1}])
FILTERS = st.recursive(
    st.dictionaries(
        st.sampled_from(
            [
                ".eq",
                ".neq",
                ".in",
                ".contains",
                ".regex",
                ".x",
                "a",
                "message",
                "message.0",
                "message.#",
                "a.b",
                'message.#(type=="at").data',
                "a.#(b==1).c",
                "post_type",
                "message.#.type",
                "",
                "a*",
                "#",
            ]
        ),
        ARGUMENTS,
        max_size=3,
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            ".or": st.lists(inner, max_size=3) | JSON,
            ".and": inner | JSON,
            ".not": inner | JSON,
            "message": inner,
            "a": inner,
        },
    ),
    max_leaves=6,
)


class RobustnessTests(SynchronousTestCase):
    @quick
    @given(FILTERS, st.dictionaries(st.sampled_from(["a", "b", "sub_type"]), JSON, max_size=2), MESSAGES)
    def test_no_filter_and_no_event_raises(
        self, value: object, members: dict[str, object], message: object
    ) -> None:
        """A filter is compiled or refused, and what is compiled judges every event."""
        event = read_event(json.dumps({**members, "message": message, "post_type": "message"}).encode())
        try:
            judged = read_filter(json.dumps(value))
        except BadFilter as error:
            self.assertTrue(error.mistakes)
            return
        self.assertIsInstance(judged.passes(event), bool)

    @quick
    @given(st.text(max_size=40) | st.text('{}[]":,.$oreqin#()=1 \\', max_size=20))
    @example("\ud800")
    @example('{"\ud800": "\udfff"}')
    @example('{"a": {".regex": "\ud800"}}')
    @example('{"a": "\\ud83d"}')
    def test_no_text_raises(self, text: str) -> None:
        with patch.object(reading, "compile_sift", lambda _value, _mistakes: lambda _subject: True):
            try:
                self.assertIsInstance(read_filter(text).passes(EVENT), bool)
            except BadFilter as error:
                str(error)

    @quick
    @given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
    def test_no_event_raises(self, raw: bytes) -> None:
        judged = read_filter(
            '{".or":[{"a.b":1},{".contains":"x"},{"message.#(a==1).b":2},{"message":{".regex":"y"}},{"#.a":1}]}'
        )
        try:
            event = read_event(
                b'{"post_type":"message","a":' + raw + b',"message":' + raw + b"}", repair=True
            )
        except BadEvent:
            return
        self.assertIsInstance(judged.passes(event), bool)
