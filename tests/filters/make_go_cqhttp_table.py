"""Make go_cqhttp_table.json: what filters in go-cqhttp's grammar make of events, as gjson in Go has it.

Run as ``python tests/filters/make_go_cqhttp_table.py`` where Debian's golang-go and
golang-github-tidwall-gjson-dev are installed. The table is committed: no test runs Go.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
RULES = HERE / "go_cqhttp_rules.go"
TABLE = HERE / "go_cqhttp_table.json"

#: Members of an event, as they stand there; "none" is missing.
VALUES = {
    "word": '"group"',
    "digits": '"123"',
    "empty": '""',
    "han": '"\\u4e2d文 é"',
    "pair": '"\\ud83d\\ude00"',
    "surrogate": '"\\ud83d"',
    "quoted": '"a\\"b\\\\c\\nd/e\\/f"',
    "zero": "0",
    "number": "123",
    "negative": "-5",
    "minus_zero": "-0",
    "id": "1234567890123456789",
    "uint64": "18446744073709551615",
    "longer": "123456789012345678901234567890",
    "float": "1.0",
    "half": "1.50",
    "exponent": "1e3",
    "large": "1.5E+21",
    "small": "-2.5e-7",
    "true": "true",
    "false": "false",
    "null": "null",
    "object": '{ "a" : 1, "b":{"c":"d"} }',
    "array": '[1, "2" ,null,{"a":1}]',
    "no_object": "{}",
    "no_array": "[]",
}
EVENT = '{"post_type":"notice",' + ",".join(f'"{name}":{value}' for name, value in VALUES.items()) + "}"

#: Arguments of each operator that every member is tried with.
ARGUMENTS = {
    ".eq": ['"group"', '"123"', "123", "1", '""', "null", '"true"', '{ "a" : 1, "b":{"c":"d"} }'],
    ".neq": ["123", "null"],
    ".in": ['["group",123,true,1000]', "[null]", "[]", '"group 123 true -5 1.5"'],
    ".contains": ['"1"', '""', '"u"'],
    ".regex": ['"^$"', '"^[0-9]+$"', '"(?i)^.(R|2|\\\\d)"', '"^.$"'],
}

AT = '{"type":"at","data":{"qq":"10001"}}'
TEXT = '{"type":"text","data":{"text":" 你好, [x]"}}'
REPLY = '{"type":"reply","data":{"id":-7}}'
ARRAY = f'{{"post_type":"message","message":[{REPLY},{AT},{TEXT}],"sender":{{"role":"owner","age":0}}}}'
STRING = (
    '{"post_type":"message","message":"[CQ:reply,id=-7][CQ:at,qq=10001] 你好, &#91;x&#93;",'
    '"sender":{"role":"owner","age":0}}'
)
SEGMENTS = (  # those of STRING
    '{"post_type":"message","message":[{"type":"reply","data":{"id":"-7"}},' + AT + "," + TEXT + "]}"
)
LIST = (
    '{"post_type":"x","list":[{"k":1,"v":"a"},{"k":"1","v":"b"},{"k":true,"v":null},[7,[8]],"k",5,{"k":0}]}'
)

#: Filters and events, and the event as gjson is to see it where lgtwist's ``message`` has another form.
CASES: list[tuple[str, str] | tuple[str, str, str]] = [
    # and, or, not
    ("{}", EVENT),
    ('{".and":{}}', EVENT),
    ('{".not":{}}', EVENT),
    ('{".or":[]}', EVENT),
    ('{".or":[{}]}', EVENT),
    ('{".or":[{"number":1},{"number":123}]}', EVENT),
    ('{".or":[{"number":1},{"number":2}]}', EVENT),
    ('{".or":[{"number":123,"word":"x"}]}', EVENT),
    ('{".not":{"number":1}}', EVENT),
    ('{".not":{"number":123,"word":"x"}}', EVENT),
    ('{".not":{".not":{"number":123}}}', EVENT),
    ('{".and":{"number":123,"word":"group"}}', EVENT),
    ('{"number":{".not":{".in":[1,2]}}}', EVENT),
    ('{"number":{".or":[{".eq":1},{".regex":"^12"}]}}', EVENT),
    ('{"number":{".contains":"1",".neq":"123"}}', EVENT),
    ('{"number":{}}', EVENT),
    ('{"none":{}}', EVENT),
    ('{".contains":"post_type"}', EVENT),
    ('{".eq":""}', EVENT),
    ('{".regex":"^\\\\{.*\\\\}$"}', EVENT),
    # equal keys
    ('{"number":123,"number":1}', EVENT),
    ('{"number":1,"number":123}', EVENT),
    ('{"number":{".contains":"2",".contains":"9"}}', EVENT),
    ('{".or":[{"number":1}],".or":[{"number":123}]}', EVENT),
    ('{".not":{"number":1},".not":{"number":123}}', EVENT),
    ('{"word":{".regex":"^g",".regex":"p$"}}', EVENT),
    # paths
    ('{"object.a":1}', EVENT),
    ('{"object.b.c":"d"}', EVENT),
    ('{"object.b":{"c":"d"}}', EVENT),
    ('{"object":{"b.c":{".in":["d"]}}}', EVENT),
    ('{"object":{"b":{"c":"x"}}}', EVENT),
    ('{"object.b":"{\\"c\\":\\"d\\"}"}', EVENT),
    ('{"object":{"a":1,"none":null}}', EVENT),
    ('{"object.0":""}', EVENT),
    ('{"object.a.b":""}', EVENT),
    ('{"array.0":1}', EVENT),
    ('{"array.1":2}', EVENT),
    ('{"array.2":""}', EVENT),
    ('{"array.3.a":1}', EVENT),
    ('{"array":{"3":{"a":1}}}', EVENT),
    ('{"array.4":""}', EVENT),
    ('{"array.00":1}', EVENT),
    ('{"array.-1":""}', EVENT),
    ('{"array.a":""}', EVENT),
    ('{"array.#":4}', EVENT),
    ('{"no_array.#":0}', EVENT),
    ('{"object.#":""}', EVENT),
    ('{"word.#":""}', EVENT),
    ('{"none.#":0}', EVENT),
    ('{"array.#.a":"[1]"}', EVENT),
    ('{ "array" : [1, "2" ,null,{"a":1}] , "object" : { ".eq" : { "a" : 1, "b":{"c":"d"} } } }', EVENT),
    ('{"array":"[1, \\"2\\" ,null,{\\"a\\":1}]"}', EVENT),
    ('{"array":[1, "2" ,null,{"a":1}]}', EVENT),
    ('{"array":[1,"2",null,{"a":1}]}', EVENT),
    ('{"word.x":{".eq":null}}', EVENT),
    ('{"a b":1}', '{"post_type":"x","a b":1}'),
    ('{"字.é":1}', '{"post_type":"x","字":{"é":1}}'),
    ('{"\\u5b57.e\\u0301":1}', '{"post_type":"x","字":{"é":1}}'),
    ('{"字":1}', '{"post_type":"x","\\u5b57":1}'),
    ('{"a:b-c@d":1}', '{"post_type":"x","a:b-c@d":1}'),
    # lists and queries
    ('{"list.#":7}', LIST),
    ('{"list.#.v":"[\\"a\\",\\"b\\",null]"}', LIST),
    ('{"list.#.k":{".regex":"^.1,.1.,true,0.$"}}', LIST),
    ('{"list.#.v":{"1":"b"}}', LIST),
    ('{"list.#.v":{"#":3}}', LIST),
    ('{"list.#":{"v":""}}', LIST),
    ('{"list":{"#":7}}', LIST),
    ('{"list":{"#.v":{"0":"a"}}}', LIST),
    ('{"list.#.none":"[]"}', LIST),
    ('{"list.#.1":"[[8]]"}', LIST),
    ('{"list.3.0":7}', LIST),
    ('{"list.3.1.0":8}', LIST),
    ('{"list.3.#":2}', LIST),
    ('{"list.#(k==\\"1\\").v":"a"}', LIST),
    ('{"list.#(k==1).v":"a"}', LIST),
    ('{"list.#( k == \\"1\\" ).v":"a"}', LIST),
    ('{"list.#(v==\\"b\\").k":1}', LIST),
    ('{"list.#(v==b).k":1}', LIST),
    ('{"list.#(k==true).v":null}', LIST),
    ('{"list.#(k==\\"true\\").v":{".in":["x"]}}', LIST),
    ('{"list.#(k==1.0).v":"a"}', LIST),
    ('{"list.#(k==\\"nothing\\").k":0}', LIST),
    ('{"list.#(k==9)":""}', LIST),
    ('{"list.#(k==9).v":"a"}', LIST),
    ('{"list.#(v==\\"a\\")":"{\\"k\\":1,\\"v\\":\\"a\\"}"}', LIST),
    ('{"list.#(v==\\"a\\")":{"k":1,"v":{".neq":"b"}}}', LIST),
    ('{"list.#(v==\\"\\").k":""}', LIST),
    ('{"post_type.#(k==1)":""}', LIST),
    # messages
    ('{"message":{".regex":"^!!"}}', '{"post_type":"message","message":"!!x"}'),
    ('{"message":"[CQ:reply,id=-7][CQ:at,qq=10001] 你好, &#91;x&#93;"}', ARRAY, STRING),
    ('{"message":{".contains":"[CQ:at,qq=10001]"}}', ARRAY, STRING),
    ('{"message":{".regex":"^.CQ:reply,id=-7.*x&"}}', ARRAY, STRING),
    ('{"message":{".contains":"[CQ:at,qq=10001]"}}', STRING),
    ('{"message":{".eq":""}}', ARRAY, STRING),
    ('{"message":""}', EVENT),
    ('{"message":{".not":{".contains":"CQ"}}}', EVENT),
    ('{"message.0.type":"reply"}', ARRAY),
    ('{"message.0.data.id":-7}', ARRAY),
    ('{"message.0.data.id":"-7"}', ARRAY),
    ('{"message.0.type":"at"}', ARRAY),
    ('{"message":{"1.type":"at"}}', ARRAY),
    ('{"message":{"1":{"data":{"qq":10001}}}}', ARRAY),
    ('{"message.#":3}', ARRAY),
    ('{"message.#.type":"[\\"reply\\",\\"at\\",\\"text\\"]"}', ARRAY),
    ('{"message.#(type==\\"at\\").data.qq":"10001"}', ARRAY),
    ('{"message.#(type==\\"at\\").data.qq":{".in":[1,10001]}}', ARRAY),
    ('{"message.#(data.qq==\\"10001\\").type":"at"}', ARRAY),
    ('{"message.#(type==\\"image\\").data.file":{".neq":""}}', ARRAY),
    ('{"message.#(type==\\"text\\").data.text":{".regex":"^\\\\s你"}}', ARRAY),
    ('{"message.9.type":""}', ARRAY),
    ('{"message.type":{".eq":""}}', ARRAY),
    ('{"message.0.type":"reply"}', STRING, SEGMENTS),
    ('{"message.0.data.id":-7}', STRING, SEGMENTS),
    ('{"message.#":3}', STRING, SEGMENTS),
    ('{"message.#(type==\\"at\\").data.qq":10001}', STRING, SEGMENTS),
    ('{"message.#(type==\\"at\\").data.qq":10002}', STRING, SEGMENTS),
    ('{"message.2.data.text":" 你好, [x]"}', STRING, SEGMENTS),
    ('{"message.0.type":"at"}', f'{{"post_type":"message","message":{AT}}}', f'{{"message":[{AT}]}}'),
    (
        '{"message":"[CQ:at,qq=10001]"}',
        f'{{"post_type":"message","message":{AT}}}',
        '{"message":"[CQ:at,qq=10001]"}',
    ),
    ('{"sender.role":{".in":["owner","admin"]}}', ARRAY),
    ('{"sender":{"role":"owner","age":"0"}}', ARRAY),
    ('{"raw_message":{".regex":"^!!"}}', '{"post_type":"message","raw_message":"!!ping"}'),
    (
        '{".or":[{"message_type":"private"},{"group_id":{".in":[123]}}]}',
        '{"post_type":"message","group_id":123}',
    ),
    ('{"raw_message":{".regex":"签到|打卡"}}', '{"post_type":"message","raw_message":"我来打卡"}'),
    ('{"raw_message":{".regex":"^\\\\s"}}', '{"post_type":"message","raw_message":"\\u3000x"}'),
    ('{"raw_message":{".regex":"^.$"}}', '{"post_type":"message","raw_message":"\\ud83d\\ude00"}'),
    ('{"raw_message":{".regex":"(?s)^a.b$"}}', '{"post_type":"message","raw_message":"a\\nb"}'),
    ('{"raw_message":{".regex":"^a.b$"}}', '{"post_type":"message","raw_message":"a\\nb"}'),
    ('{"raw_message":{".regex":"^\\\\p{Han}+$"}}', '{"post_type":"message","raw_message":"中文"}'),
    # mistakes
    ("[]", EVENT),
    ('"x"', EVENT),
    ('{"a":1,}', EVENT),
    ('{"":1}', EVENT),
    ('{".":1}', EVENT),
    ('{".nin":[1]}', EVENT),
    ('{".Eq":1}', EVENT),
    ('{"a":{".gt":1}}', EVENT),
    ('{".not":1}', EVENT),
    ('{".not":[{}]}', EVENT),
    ('{".and":[]}', EVENT),
    ('{".or":{}}', EVENT),
    ('{".or":[1]}', EVENT),
    ('{".or":[[]]}', EVENT),
    ('{"a":{".in":{}}}', EVENT),
    ('{"a":{".in":1}}', EVENT),
    ('{"a":{".in":null}}', EVENT),
    ('{"a":{".contains":1}}', EVENT),
    ('{"a":{".contains":["x"]}}', EVENT),
    ('{"a":{".regex":1}}', EVENT),
    ('{"a":{".regex":"("}}', EVENT),
    ('{"a":{".regex":"a(?=b)"}}', EVENT),
    ('{"a":{".regex":"(a)\\\\1"}}', EVENT),
    ('{".or":[{},{".not":{"a":{".x":1}}}]}', EVENT),
]


def all_cases() -> Iterator[tuple[str, str, str]]:
    """Each filter with its event, and the event that gjson sees."""
    for operator, arguments in ARGUMENTS.items():
        for argument in arguments:
            for name in [*VALUES, "none"]:
                yield f'{{"{name}":{{"{operator}":{argument}}}}}', EVENT, EVENT
    for name, value in VALUES.items():
        yield f'{{"{name}":{value}}}', EVENT, EVENT
    for case in CASES:
        yield case[0], case[1], case[-1]


def script_sum() -> str:
    """The checksum of what makes the table."""
    return hashlib.sha256(Path(__file__).read_bytes() + RULES.read_bytes()).hexdigest()


def data_sum(cases: list[list[object]]) -> str:
    """The checksum of a table's cases."""
    return hashlib.sha256(json.dumps(cases, ensure_ascii=True).encode()).hexdigest()


def main() -> None:
    """Run Go, and write the table."""
    cases = list(all_cases())
    given = json.dumps([{"filter": text, "event": seen} for text, _event, seen in cases])
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
    done = subprocess.run(
        ["go", "run", str(RULES)], input=given, env=environment, capture_output=True, text=True, check=True
    )
    verdicts = json.loads(done.stdout)
    events = sorted({event for _text, event, _seen in cases})
    rows: list[list[object]] = [
        [text, events.index(event), verdict]
        for (text, event, _seen), verdict in zip(cases, verdicts, strict=True)
    ]
    head = {"script": script_sum(), "data": data_sum(rows), "gjson": "1.14.4", "events": events}
    lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows)
    TABLE.write_text(f'{json.dumps(head)[:-1]}, "cases": [\n{lines}\n]}}\n', "ascii")
    print(  # noqa: T201
        f"{len(rows)} cases, {sum(row[2] is True for row in rows)} pass, {verdicts.count('mistake')} mistakes"
    )


if __name__ == "__main__":
    main()
