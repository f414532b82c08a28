"""Changes of a configuration's text, by the form and by hand."""

from __future__ import annotations

import copy
import json
import re
import time
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.write_back import CannotEdit, Edit, apply_edits, difference, with_line_ends
from tests.rounds import quick

TEXT = """\
# The top.
data_dir = "data"   # here

[server]
# where
endpoints = [
    "tcp:8081",   # all
    # nobody else
    "unix:x",
]
admin_token = 'secret'

# 第一个
[[bots]]
name = "a"
access_token = "token-a"
# delivery = "at-least-once"

# 第二个
[[bots]]
name = "b"
url = "ws://x/"  # there
[bots.actions]
deny = ["*_kick"]
# 第三个
[[bots]]
name = "c"
actions = { rate = "1/s", deny = [] }
events.post_type = ["message"]

# The end.
"""


def edited(text: str, *edit: Any) -> str:
    return apply_edits(text, [Edit(edit[0], tuple(edit[1]), *edit[2:])])


class ExampleTests(SynchronousTestCase):
    def check_edit(self, edit: tuple[Any, ...], changes: dict[str, str]) -> None:
        """An edit replaces these pieces of the text, and nothing else."""
        expected = TEXT
        for old, new in changes.items():
            self.assertEqual(expected.count(old), 1, old)
            expected = expected.replace(old, new)
        self.assertEqual(edited(TEXT, *edit), expected)
        crlf = TEXT.replace("\n", "\r\n")
        self.assertEqual(edited(crlf, *edit), expected.replace("\n", "\r\n"))

    def test_set(self) -> None:
        self.check_edit(("set", ["data_dir"], "x"), {'"data"   #': '"x"   #'})
        self.check_edit(("set", ["server", "admin_token"], "y"), {"'secret'": "'y'"})
        self.check_edit(("set", ["server", "admin_token"], "it's"), {"'secret'": '"it\'s"'})
        self.check_edit(("set", ["bots", "b", "url"], "ws://y/"), {'"ws://x/"': '"ws://y/"'})
        self.check_edit(("set", ["bots", "c", "actions", "rate"], "2/s"), {'"1/s"': '"2/s"'})

    def test_text_with_quotes(self) -> None:
        """A filter can be read in the file: without backslashes, and on as many lines as it has."""
        text = '{"raw_message": {"$regex": "^\\\\d"}}'
        self.check_edit(
            ("set", ["bots", "a", "filter"], text), {'"token-a"\n': f"\"token-a\"\nfilter = '{text}'\n"}
        )
        self.check_edit(
            ("set", ["bots", "c", "actions", "rate"], '{\n  "a": 1\n}'),
            {'"1/s"': "'''\n{\n  \"a\": 1\n}'''"},
        )
        both = """{"a": "it's"}"""
        self.check_edit(
            ("set", ["bots", "a", "filter"], both),
            {'"token-a"\n': f'"token-a"\nfilter = {json.dumps(both)}\n'},
        )

    def test_set_a_new_key(self) -> None:
        """It does not land below the comment of the next table."""
        self.check_edit(
            ("set", ["bots", "a", "accounts"], [1]), {'"token-a"\n': '"token-a"\naccounts = [1]\n'}
        )
        self.check_edit(("set", ["bots", "b", "timeout"], "5s"), {"# there\n": '# there\ntimeout = "5s"\n'})
        self.check_edit(
            ("set", ["bots", "b", "actions", "rate"], "1/s"), {'["*_kick"]\n': '["*_kick"]\nrate = "1/s"\n'}
        )
        self.check_edit(
            ("set", ["bots", "c", "actions", "allow"], ["x"]), {"deny = [] }": 'deny = [], allow = ["x"] }'}
        )
        self.check_edit(
            ("set", ["bots", "c", "events", "user_id"], [1]),
            {'events.post_type = ["message"]\n': 'events.post_type = ["message"]\nevents.user_id = [1]\n'},
        )
        self.check_edit(
            ("set", ["bots", "a", "actions", "deny"], ["x"]),
            {'"token-a"\n': '"token-a"\nactions = { deny = ["x"] }\n'},
        )
        self.check_edit(
            ("set", ["limits", "calls"], 5), {"# The end.\n": "# The end.\n\n[limits]\ncalls = 5\n"}
        )

    def test_set_a_list(self) -> None:
        self.check_edit(("set", ["server", "endpoints"], ["tcp:1", "unix:x"]), {'"tcp:8081",': '"tcp:1",'})
        self.check_edit(("set", ["server", "endpoints"], ["tcp:8081"]), {'    "unix:x",\n': ""})
        self.check_edit(
            ("set", ["server", "endpoints"], ["tcp:8081", "unix:x", "tcp:2"]),
            {'"unix:x",': '"unix:x", "tcp:2",'},
        )
        text = edited(TEXT, "set", ["server", "endpoints"], [])
        for comment in ("# all\n", "# nobody else\n", "# where\n"):
            self.assertIn(comment, text)

    def test_set_a_table(self) -> None:
        self.check_edit(
            ("set", ["bots", "b", "actions"], {"rate": "1/s"}), {'deny = ["*_kick"]\n': 'rate = "1/s"\n'}
        )
        self.check_edit(
            ("set", ["bots", "c", "events"], {"post_type": ["message"], "user_id": [2]}),
            {'events.post_type = ["message"]\n': 'events.post_type = ["message"]\nevents.user_id = [2]\n'},
        )
        self.check_edit(
            ("set", ["bots", "c", "events"], {}), {'events.post_type = ["message"]\n': "events = {}\n"}
        )
        self.check_edit(
            ("set", ["bots", "c", "actions"], {"allow": []}),
            {'{ rate = "1/s", deny = [] }': "{ allow = [] }"},
        )

    def test_unset(self) -> None:
        self.check_edit(("unset", ["server", "admin_token"]), {"admin_token = 'secret'\n": ""})
        self.check_edit(("unset", ["bots", "c", "actions", "rate"]), {'rate = "1/s", ': ""})
        self.check_edit(("unset", ["bots", "c", "actions", "deny"]), {", deny = []": ""})
        self.check_edit(("unset", ["bots", "c", "events"]), {'events.post_type = ["message"]\n': ""})
        self.check_edit(
            ("unset", ["bots", "c", "events", "post_type"]), {'events.post_type = ["message"]\n': ""}
        )
        self.check_edit(("unset", ["bots", "b", "actions"]), {'[bots.actions]\ndeny = ["*_kick"]\n': ""})

    def test_remove(self) -> None:
        """A table takes its own comment along, and leaves that of its neighbour."""
        first = TEXT[TEXT.index("# 第一个") : TEXT.index("# 第二个")]
        second = TEXT[TEXT.index("# 第二个") : TEXT.index("# 第三个")]
        self.check_edit(("remove", ["bots", "a"]), {first: ""})
        self.check_edit(("remove", ["bots", "b"]), {second: ""})
        text = edited(TEXT, "remove", ["bots", "c"])
        self.assertNotIn("第三个", text)
        self.assertIn("\n# The end.\n", text)

    def test_add(self) -> None:
        self.check_edit(
            ("add", ["accounts"], {"self_id": 5, "type": "sandbox"}),
            {"# The end.\n": '# The end.\n\n[[accounts]]\nself_id = 5\ntype = "sandbox"\n'},
        )
        text = TEXT + "\n# limits\n[limits]\ncalls = 1\n"
        self.assertEqual(
            edited(text, "add", ["bots"], {"name": "d"}),
            text.replace('["message"]\n', '["message"]\n\n[[bots]]\nname = "d"\n'),
        )
        self.assertEqual(edited("", "add", ["bots"], {"name": "d"}), '[[bots]]\nname = "d"\n')
        self.assertEqual(
            edited('bots = [{name = "a"}]', "add", ["bots"], {"name": "d"}),
            'bots = [{name = "a"}, { name = "d" }]',
        )

    def test_the_top(self) -> None:
        self.assertEqual(
            edited("# about\n\n# s\n[server]\n", "set", ["data_dir"], "x"),
            '# about\n\ndata_dir = "x"\n\n# s\n[server]\n',
        )
        self.assertEqual(edited("a = 1", "set", ["data_dir"], "x"), 'a = 1\ndata_dir = "x"\n')

    def test_what_cannot_be_done(self) -> None:
        for edit in (
            ("set", ["bots", "nobody", "url"], "x"),
            ("unset", ["bots", "a", "url"]),
            ("remove", ["accounts", 1]),
            ("set", [], 1),
            ("set", ["data_dir", "x"], 1),
            ("set", ["x"], None),
            ("set", ["x"], 2**80),
            ("set", ["x"], "\ud800"),
            ("add", ["bots"], 1),
            ("move", ["bots"], 1),
            ("set", [1.5], 1),
        ):
            self.assertRaises(CannotEdit, edited, TEXT, *edit)
        self.assertRaises(CannotEdit, edited, "x = ", "set", ["x"], 1)


# -- any configuration, any edit


class Document:
    """A configuration with comments at every place; each of them is told apart by its number."""

    def __init__(self, draw: Any) -> None:
        self.draw, self.count = draw, 0
        self.lines: list[str] = []
        self.owners: dict[str, tuple[Any, ...]] = {}  # of comments: what they are about
        self.make()
        end = draw(st.sampled_from(["\n", "\r\n"]))
        self.text = "\n".join(self.lines).replace("\n", end) + draw(st.sampled_from(["", end]))

    def some(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def comment(self, owner: tuple[Any, ...]) -> str:
        self.count += 1
        name = f"#{self.count}# 注释 [x] = \"'"
        self.owners[name] = owner
        return name

    def above(self, owner: tuple[Any, ...]) -> None:
        if self.some(True, False):
            self.lines.append("")
        if self.some(True, False):  # a comment of nobody's
            self.lines += ["", self.comment(()), ""]
        for _ in range(self.some(0, 0, 1, 2)):
            self.lines.append(self.comment(owner))

    def key(self, owner: tuple[Any, ...], written: str, value: str) -> None:
        tail = f"  {self.comment((*owner, 'own'))}" if self.some(True, False) else ""
        indent = self.some("", "", "  ")
        self.lines.append(f"{indent}{written}{self.some(' = ', '=')}{value}{tail}")

    def list_of(self, owner: tuple[Any, ...], *values: str) -> str:
        if self.some(True, False):
            return f"[{', '.join(values)}{self.some('', ', ') if values else ''}]"
        inner = [f"  {value}, {self.comment((*owner, 'inside'))}" for value in values]
        return "\n".join(["[", *inner, f"  {self.comment((*owner, 'inside'))}", "]"])

    def actions(self, owner: tuple[Any, ...], is_table: bool) -> None:
        how = self.some("none", "inline", "dotted", "header" if is_table else "inline")
        owner = (*owner, "actions")
        if how == "inline":
            self.key(owner, "actions", '{ deny = ["a", "b"], rate = "1/s" }')
        elif how == "dotted":
            self.key((*owner, "deny"), "actions.deny", self.list_of((*owner, "deny"), '"a"', "'b'"))
            self.key((*owner, "rate"), "actions.rate", '"1/s"')
        elif how == "header":
            self.lines += [self.comment(owner)] if self.some(True, False) else []
            self.lines.append("[bots.actions]")
            self.key((*owner, "deny"), "deny", self.list_of((*owner, "deny"), '"a"'))

    def make(self) -> None:
        if self.some(True, False):
            self.above(())
            self.key(("data_dir",), "data_dir", '"data"')
        for name in self.draw(st.permutations(["server", "accounts", "bots"])):
            if name == "server" and self.some(True, False):
                self.above(("server",))
                self.lines.append("[server]")
                self.key(("server", "admin_token"), "admin_token", "'tok en'")
                self.key(
                    ("server", "endpoints"),
                    "endpoints",
                    self.list_of(("server", "endpoints"), '"tcp:1"', '"tcp:2"'),
                )
            elif name == "accounts":
                for number in range(self.some(0, 1, 2)):
                    owner = ("accounts", 10001 + number)
                    self.above(owner)
                    self.lines.append("[[accounts]]")
                    self.key((*owner, "self_id"), "self_id", str(10001 + number))
            elif name == "bots":
                for number in range(self.some(0, 1, 2, 3)):
                    owner = ("bots", "abc"[number])
                    self.above(owner)
                    self.lines.append("[[ bots ]]" if self.some(0, 1, 2) == 0 else "[[bots]]")
                    self.key((*owner, "name"), "name", f'"{"abc"[number]}"')
                    self.key((*owner, "url"), "url", f'"ws://{number}/"')
                    self.actions(owner, True)


PATHS = [
    ("data_dir",), ("server", "admin_token"), ("server", "endpoints"), ("limits", "calls"),
    ("bots", "a", "url"), ("bots", "b", "url"), ("bots", "b", "timeout"), ("bots", "c", "accounts"),
    ("bots", "a", "actions", "deny"), ("bots", "b", "actions", "deny"), ("bots", "c", "actions", "rate"),
    ("bots", "a", "actions"), ("accounts", 10001, "dialect"), ("accounts", 10002, "self_id"),
]  # fmt: skip
#: How the comments of a document begin.
COMMENT = r"#\d+#"
TABLES = [("bots", "a"), ("bots", "b"), ("bots", "c"), ("accounts", 10001), ("accounts", 10002), ("server",)]
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(blacklist_categories=["Cs"]), max_size=8),
    st.sampled_from(["a", "b", "''", '"""', "# x", "\\", "\r\n", "••••••1", "é\x7f\u2028"]),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(st.sampled_from(["a", "b", "c", "tcp:1", "tcp:2"]), max_size=4),
    st.dictionaries(st.sampled_from(["deny", "rate", "a b", "é", ""]), SCALARS, max_size=3),
)


def model(values: Any, edit: Edit) -> Any:
    """What a configuration is to say after an edit; None where it cannot be done."""
    values = copy.deepcopy(values)
    *tables, last = edit.path
    table = values
    for part in tables:
        if isinstance(table, list):
            found = [one for one in table if part in (one.get("name"), one.get("self_id"))]
            if not found:
                return None
            table = found[0]
        elif not isinstance(table, dict):  # an edit before has put something else there
            return None
        elif edit.operation == "set":
            table = table.setdefault(part, {} if part not in ("bots", "accounts") else [])
        elif part in table:
            table = table[part]
        else:
            return None
    if not isinstance(table, (dict, list)):
        return None
    if edit.operation == "set":
        table[last] = edit.value
    elif edit.operation == "add":
        table.setdefault(last, []).append(edit.value)
    elif isinstance(table, list):
        found = [one for one in table if last in (one.get("name"), one.get("self_id"))]
        if not found:
            return None
        table.remove(found[0])
    elif table.pop(last, None) is None:
        return None
    return values


def tidy(values: Any) -> Any:
    """Without what is empty: a table that is only there by its keys goes with them."""
    if not isinstance(values, dict):
        return values
    return {key: one for key, value in values.items() if (one := tidy(value)) not in ({}, [])}


@st.composite
def edits(draw: Any) -> Edit:
    operation = draw(st.sampled_from(["set", "set", "set", "unset", "add", "remove"]))
    if operation == "add":
        array = draw(st.sampled_from(["bots", "accounts"]))
        key = {"name": "new", "access_token": "x"} if array == "bots" else {"self_id": 10009}
        return Edit("add", (array,), {**key, **draw(st.dictionaries(st.just("t"), VALUES, max_size=1))})
    if operation == "remove":
        return Edit("remove", draw(st.sampled_from(TABLES)))
    return Edit(operation, draw(st.sampled_from(PATHS)), draw(VALUES) if operation == "set" else None)


class ModelTests(SynchronousTestCase):
    @given(st.data())
    @quick
    def test_any_edit_of_any_configuration(self, data: Any) -> None:
        document = data.draw(st.builds(Document, st.just(data.draw)))
        self.check_edit(document, data.draw(edits()))

    def check_edit(self, document: Document, edit: Edit) -> None:
        before = msgspec.toml.decode(document.text)
        wanted = model(before, edit)
        if wanted is None:
            self.assertRaises(CannotEdit, apply_edits, document.text, [edit])
            return
        after = apply_edits(document.text, [edit])
        self.assertEqual(tidy(msgspec.toml.decode(after)), tidy(wanted), (document.text, edit, after))
        self.check_comments(document, edit, after)
        self.check_lines(document, edit, after)

    def check_comments(self, document: Document, edit: Edit, after: str) -> None:
        """A comment goes only with what is taken out, and stays in its place."""
        length, inside = len(edit.path), edit.operation in ("unset", "remove")
        inside = inside or (edit.operation == "set" and edit.path[-1] == "actions")  # its members go with it
        expected = [
            name for name, owner in document.owners.items() if not (inside and owner[:length] == edit.path)
        ]
        found = [one for one in document.owners if one in after]
        self.assertEqual([one for one in expected if one not in found], [], (document.text, edit, after))

    def check_lines(self, document: Document, edit: Edit, after: str) -> None:
        """Every line that is not of the key that was changed is there, in order, byte for byte."""
        old, new = document.text.splitlines(), after.splitlines()
        lost = [line for line in old if line not in new]
        if edit.operation == "add":
            self.assertEqual(lost, [], (document.text, edit, after))
        elif edit.operation == "set":
            allowed = re.compile(rf"{edit.path[-1]}|deny|rate|^\s*['\"]|^\s*\]|{COMMENT}")
            lost = [one for one in lost if not allowed.search(one)]
            self.assertEqual(lost, [], (document.text, edit, after))
        left = iter(new)
        still = [line for line in old if line in new and old.count(line) == 1]
        self.assertTrue(all(line in left for line in still), (document.text, edit, after))  # in order
        if "\r\n" in document.text:
            self.assertNotIn("\n", after.replace("\r\n", ""))

    @given(st.data())
    @quick
    def test_several_edits_and_by_hand(self, data: Any) -> None:
        """As in one; and what was edited by hand in LF comes back to CRLF where it was not touched."""
        document = data.draw(st.builds(Document, st.just(data.draw)))
        text = document.text
        for edit in data.draw(st.lists(edits(), max_size=4)):
            try:
                text = apply_edits(text, [edit])
            except CannotEdit:
                self.assertIsNone(model(msgspec.toml.decode(text), edit), (text, edit))
        self.assertEqual(with_line_ends(text, text.replace("\r\n", "\n")), text)
        lines = text.replace("\r\n", "\n").split("\n")
        at = data.draw(st.integers(0, len(lines) - 1))
        by_hand = "\n".join([*lines[:at], "# by hand", *lines[at:]])
        restored = with_line_ends(text, by_hand)
        self.assertEqual(restored.replace("\r\n", "\n"), by_hand)
        if "\r\n" in text:
            self.assertNotIn("\n", restored.replace("\r\n", ""))


class RefusedTests(SynchronousTestCase):
    def test_what_cannot_be_meant(self) -> None:
        for edit in (
            ("unset", ["data_dir", 0]), ("unset", ["server", "admin_token", 0]),
            ("unset", ["server", "endpoints", -5]),
            ("set", ["server", "endpoints", -5, "x"], 1), ("set", ["a"] * 3_000, 1),
            ("remove", ["bots", "a", 0]),
            ("set", ["x"], {str(number): 1 for number in range(1_000)}), ("set", [], 1), ("set", [1.5], 1),
        ):  # fmt: skip
            with self.assertRaises(CannotEdit, msg=str(edit)[:80]):
                edited(TEXT, *edit)


class DifferenceTests(SynchronousTestCase):
    def test_very_many_equal_lines(self) -> None:
        old = "".join(f'[[bots]]\nname = "b{number}"\n\n# x\n' for number in range(100))
        new = f"{old[:100]}{'# x' * 2}{chr(10) * 60_000}{old[100:]}"
        start = time.thread_time()
        found = difference(old, new)
        ends = with_line_ends(old.replace("\n", "\r\n"), new)
        self.assertLess(time.thread_time() - start, 20)  # it was an hour
        self.assertEqual("".join(f"{one['text']}\n" for one in found if one["kind"] != "new"), old)
        self.assertEqual("".join(f"{one['text']}\n" for one in found if one["kind"] != "old"), new)
        self.assertEqual(ends, new.replace("\n", "\r\n"))
        self.assertGreater(sum(one["kind"] == "same" for one in found), 390)

    def test_lines(self) -> None:
        old, new = "a\nb\nc\n", "a\r\nB\r\nc\r\n"
        self.assertEqual(
            [(one["kind"], one["text"]) for one in difference(old, new)],
            [("same", "a"), ("old", "b"), ("new", "B"), ("same", "c")],
        )
        self.assertEqual({one["kind"] for one in difference(old, old.replace("\n", "\r\n"))}, {"same"})
        self.assertEqual(difference("", "x\n"), [{"kind": "new", "text": "x"}])
