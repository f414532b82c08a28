"""What no event and no filter can do: hold the reactor for long."""

from __future__ import annotations

import gc
import json
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters import regexes
from lgtwist.filters.reading import read_filter
from lgtwist.filters.regexes import BadPattern, go_pattern, javascript_pattern
from lgtwist.filters.subject import STEPS
from lgtwist.onebot.event import read_event

SEGMENTS = [{"type": "text", "data": {"text": "aaa"}}] * 9_900
MESSAGE = {"post_type": "message", "message": SEGMENTS}
NUMBERS = {"post_type": "message", "x": [1] * 99_000}

#: Filters of which each took from 4 to 60 s to judge one of the events.
DEAR: list[tuple[Any, Any]] = [
    ({"$nor": [{"message.data.text": {"$regex": f"z{number}"}} for number in range(950)]}, MESSAGE),
    ({"$nor": [{"message.data.text": f"z{number}"} for number in range(1_900)]}, MESSAGE),
    ({"$nor": [{"message": {"$elemMatch": {"data.text": str(number)}}} for number in range(630)]}, MESSAGE),
    ({"x": {"$all": [{"$elemMatch": {"$not": {"a": {"$size": one}}}} for one in range(380)]}}, NUMBERS),
    ({".or": [{f'message.#(type=="z{number}").data': "z"} for number in range(1_900)]}, MESSAGE),
]


def event_of(members: Any) -> Any:
    return read_event(json.dumps(members).encode())


class StepsTests(SynchronousTestCase):
    def test_dear_filters_end(self) -> None:
        """An event that would take too long to judge does not pass, also where only a match keeps it out."""
        for written, members in DEAR:
            event = event_of(members)
            judge = read_filter(json.dumps(written)).passes
            begun = time.process_time()
            self.assertFalse(judge(event), str(written)[:60])
            self.assertLess(time.process_time() - begun, 3.0, str(written)[:60])

    def test_an_event_costs_no_other(self) -> None:
        judge = read_filter(json.dumps(DEAR[0][0])).passes
        self.assertFalse(judge(event_of(MESSAGE)))
        self.assertTrue(judge(event_of({"post_type": "message", "message": SEGMENTS[:3]})))

    def test_each_event_has_all_steps(self) -> None:
        """Also a filter that searches in nothing but the type, or in another cheap member."""
        for name in ("post_type", "sub_type"):
            for operator, value in ((".regex", "."), (".contains", "a")):
                passes = read_filter(json.dumps({name: {operator: value}})).passes
                event = event_of({"post_type": "meta", "sub_type": "a"})
                STEPS.left = 0
                self.assertTrue(passes(event), (name, operator))

    def test_usual_filters_see_all_of_large_events(self) -> None:
        """Also with many segments, a large picture, and a text as long as is searched."""
        last = [*SEGMENTS, {"type": "at", "data": {"qq": "5"}}]
        picture = [{"type": "image", "data": {"file": "base64://" + "A" * 8_000_000}}, SEGMENTS[0]]
        long = "ab" * 32_000
        words = [f"word{number}" for number in range(500)]
        for written, message in [
            ({"message": {"$elemMatch": {"type": "at", "data.qq": {"$in": ["5", "6"]}}}}, last),
            ({"message.data.qq": {"$regex": "^5$"}}, last),
            ({'message.#(type=="at").data.qq': "5"}, last),
            ({"message.1.type": "text", "message.0.type": "image", "message.#": 2}, picture),
            ({"message": {".regex": "a.{200}y"}}, long + "a" + "." * 200 + "y"),
            ({"message": {"$regex": "a.{200}y", "$options": "s"}}, long + "a" + "." * 200 + "y"),
            ({".not": {".or": [{"message": {".regex": word}} for word in words]}}, long),
            ({"$nor": [{"message": {"$regex": word}} for word in words]}, long),
        ]:
            passes = read_filter(json.dumps(written)).passes
            event = event_of({"post_type": "message", "message": message})
            self.assertTrue(passes(event), str(written)[:60])


class PlacesTests(SynchronousTestCase):
    def test_what_counts_add_may_be_written_out(self) -> None:
        for pattern in ("a" + "." * 2_000 + "y", "(a|b)*a" + "(a|b)" * 400, "a" + "[ab]" * 301, r"\w?" * 301):
            for make in (go_pattern, javascript_pattern):
                with self.assertRaises(BadPattern) as caught:
                    make(pattern)
                self.assertIn("places in all; at most 300", str(caught.exception))

    def test_at_each_line(self) -> None:
        javascript_pattern("^[^a]{400}y")
        with self.assertRaises(BadPattern):
            javascript_pattern("^[^a]{400}y", "m")

    def test_lists_of_words_are_no_places(self) -> None:
        words = "|".join(f"天气word{number}.*today" for number in range(500))
        for make in (go_pattern, javascript_pattern):
            self.assertTrue(make(f"^/?(?:{words})$")("/天气word77 of today"))

    def test_what_no_filter_has_is_gone(self) -> None:
        search = go_pattern("kept by a filter")
        self.assertIs(search, go_pattern("kept by a filter"))
        del search
        gc.collect()
        self.assertNotIn(("kept by a filter", None), regexes._searches)

    def test_long_texts(self) -> None:
        """They are made ready for RE2 in another way than short ones."""
        for text in ("😀\n中\ud800\r\u2028" * 300, "a\n" * 900 + "é"):
            short = text[:499]
            for pattern, options in [
                ("^中.$", "ms"),
                ("😀", ""),
                (r"^\ud83d", ""),
                ("^$", "m"),
                ("é", ""),
                ("\n.\n", "s"),
            ]:
                search = javascript_pattern(pattern, options)
                if "é" not in pattern:
                    self.assertEqual(search(text), search(short), (pattern, options))
        self.assertTrue(javascript_pattern("é$")("a\n" * 900 + "é"))
