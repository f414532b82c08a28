// Makes sift_table.json: what sift 17.1.4 answers, for test_sift.py. Run it with Node.js 18 or newer, and npm:
//
//     node tests/filters/make_sift_table.mjs
//
// It installs sift into a temporary folder. The table's first line has a checksum over this file and the
// table's other lines; a test compares it, so that CI need not run this.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const VERSION = "17.1.4";
const HERE = dirname(fileURLToPath(import.meta.url));

/** Install sift, and return it. */
function install() {
  const folder = mkdtempSync(join(tmpdir(), "sift-"));
  try {
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--prefix", folder, `sift@${VERSION}`]);
    const require = createRequire(join(folder, "index.js"));
    if (require("sift/package.json").version !== VERSION) throw new Error("another version of sift");
    return require("sift").default;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const sift = install();

/** What sift answers: true, false, or "throws" where it does, when it reads the filter or tests the event. */
function ask(filter, event) {
  const copy = (value) => JSON.parse(JSON.stringify(value));
  try {
    return sift(copy(filter))(copy(event));
  } catch {
    return "throws";
  }
}

// Every operator on every kind of value: filters on the member "v" of each of these events.
const values = [
  { v: "abc" }, { v: "" }, { v: "5" }, { v: 5 }, { v: 0 }, { v: -7.5 }, { v: true }, { v: false }, { v: null }, {},
  { v: { x: 1 } }, { v: {} }, { v: [] }, { v: [5, "abc", null] }, { v: [1, 9] }, { v: [[5], ["abc"]] },
  { v: [{ x: 1, y: "a" }, { x: 2, y: "b" }] }, { v: [true] },
];
const conditions = [
  "abc", "", 5, 5.0, true, false, null, { x: 1 }, {}, [], [1, 9], [5], { y: "a", x: 1 },
  { $eq: "abc" }, { $eq: 5 }, { $eq: true }, { $eq: 1 }, { $eq: 0 }, { $eq: null }, { $eq: { x: 1 } }, { $eq: [1, 9] }, { $eq: [] },
  { $ne: "abc" }, { $ne: 5 }, { $ne: "5" }, { $ne: null }, { $ne: true }, { $ne: { x: 1 } }, { $ne: [1, 9] },
  { $in: ["abc", 5] }, { $in: [null] }, { $in: [] }, { $in: 5 }, { $in: "abc" }, { $in: [true, "x"] }, { $in: [[1, 9], { x: 1 }] },
  { $in: [1] }, { $in: null }, { $in: [0, 1] },
  { $nin: ["abc", 5] }, { $nin: [null] }, { $nin: [] }, { $nin: 5 }, { $nin: [true, 1] }, { $nin: [{}, []] },
  { $gt: 4 }, { $gt: "abb" }, { $gt: false }, { $gt: null }, { $gt: [] }, { $gt: {} }, { $gt: -8 },
  { $gte: 5 }, { $gte: "abc" }, { $gte: true }, { $gte: null }, { $gte: [] }, { $gte: {} }, { $gte: [5] },
  { $lt: 6 }, { $lt: "abd" }, { $lt: true }, { $lt: null }, { $lt: ["b"] }, { $lt: "" },
  { $lte: 5 }, { $lte: "abc" }, { $lte: false }, { $lte: null }, { $lte: {} }, { $gt: 1, $lt: 6 }, { $gt: 1, $lt: 5 },
  { $regex: "b" }, { $regex: "^B", $options: "i" }, { $regex: "^a.c$" }, { $regex: "" }, { $regex: "B", $options: "im" },
  { $regex: 5 }, { $regex: null }, { $regex: ["b"] }, { $regex: "^5", $options: "g" }, { $regex: "b", $options: [] },
  { $exists: true }, { $exists: false }, { $exists: 1 }, { $exists: 0 }, { $exists: null }, { $exists: "" }, { $exists: [] },
  { $type: "string" }, { $type: "number" }, { $type: "bool" }, { $type: "array" }, { $type: "null" }, { $type: "timestamp" },
  { $mod: [5, 0] }, { $mod: [4, 1] }, { $mod: [2, -1.5] }, { $mod: [] }, { $mod: [4] }, { $mod: "51" }, { $mod: ["5", 0] },
  { $mod: [0, 0] }, { $mod: [4, "1"] }, { $mod: [5, 0, 7] },
  { $size: 0 }, { $size: 2 }, { $size: 1 }, { $size: 3 }, { $size: "2" }, { $size: 2.0 }, { $size: null }, { $size: true },
  { $all: [5] }, { $all: [5, "abc"] }, { $all: ["abc", null] }, { $all: [] }, { $all: [[5]] }, { $all: [{ x: 1 }] },
  { $all: [{ x: 1 }, { x: 2 }] }, { $all: [{ $elemMatch: { x: 1, y: "a" } }, { $elemMatch: { x: 2 } }] }, { $all: [{ $gt: 1 }] },
  { $elemMatch: { x: 1 } }, { $elemMatch: { x: 1, y: "b" } }, { $elemMatch: { x: { $gt: 1 }, y: "b" } }, { $elemMatch: { $gt: 4 } },
  { $elemMatch: {} }, { $elemMatch: [] }, { $elemMatch: { $or: [{ x: 2 }, { $eq: 9 }] } }, { $elemMatch: { $ne: 5 } },
  { $elemMatch: { $elemMatch: { $eq: 5 } } }, { $elemMatch: { $exists: true } }, { $elemMatch: { x: { $exists: false } } },
  { $elemMatch: { $eq: null } }, { $elemMatch: { $in: [1, "abc"] } }, { $elemMatch: { $regex: "B", $options: "i" } },
  { $not: 5 }, { $not: "abc" }, { $not: null }, { $not: { $eq: 5 } }, { $not: { $gt: 4 } }, { $not: { $regex: "^a" } }, { $not: {} },
  { $not: [] }, { $not: { $in: [5, null] } }, { $not: { $exists: true } }, { $not: { $not: { $eq: 5 } } }, { $not: { x: 1 } },
  { $not: { $elemMatch: { x: 1 } } }, { $not: { $or: [{ $eq: 5 }, { $eq: "abc" }] } }, { $not: { $or: [{ $ne: 1 }, { $gt: 100 }] } },
  { $not: { $nor: [{ $eq: 5 }] } }, { $not: { $and: [{ $gt: 1 }, { $lt: 6 }] } }, { $not: { $size: 2 } }, { $not: { $all: [5] } },
  { $not: { x: { $exists: true } } }, { $not: { $type: "string" } }, { $not: { $gt: 1, $lt: 6 } }, { $ne: 5, $exists: true },
  { $in: [5], $nin: [9] }, { $eq: 5, $ne: "abc" }, { $not: { $ne: 5 } }, { $not: { $nin: [5] } },
];

// What is no filter for one member, or no filter at all.
const wrong = [
  { $where: "this.v" }, { v: { $where: "true" } }, { v: { $foo: 1 } }, { $foo: 1 }, { v: { $and: [{ $eq: 5 }] } },
  { v: { $or: [{ $eq: 5 }] } }, { v: { $nor: [{ $eq: 5 }] } }, { $and: [] }, { $or: [] }, { $nor: [] }, { $and: {} }, { $or: "x" },
  { $or: null }, { $nor: 5 }, { $and: "" }, { v: { $gt: 1, x: 2 } }, { v: { x: 2, $gt: 1 } }, { v: { $in: [{ $gt: 1 }] } },
  { v: { $in: { $gt: 1 } } }, { v: { $nin: [1, { $eq: 1 }] } }, { v: { $regex: "(" } }, { v: { $regex: "a", $options: "x" } },
  { v: { $regex: "a", $options: "ii" } }, { v: { $regex: "a", $options: null } }, { v: { $regex: "(?i)a" } }, { v: { $regex: "a", $options: 5 } },
  { v: { $regex: "a**" } }, { v: { $regex: "[b-a]" } }, { v: { $type: "int" } }, { v: { $type: "object" } }, { v: { $type: 2 } },
  { v: { $type: {} } }, { v: { $type: true } }, { v: { $mod: 5 } }, { v: { $mod: null } }, { v: { $mod: {} } }, { v: { $all: 5 } },
  { v: { $all: {} } }, { v: { $all: "abc" } }, { v: { $elemMatch: 5 } }, { v: { $elemMatch: null } }, { v: { $elemMatch: "x" } },
  { v: { $not: { $foo: 1 } } }, { v: { $elemMatch: { x: { $foo: 1 } } } }, { $or: [{ v: 5 }, { v: { $foo: 1 } }] }, { $not: { $and: [] } },
  { $nor: [{ v: { $not: { $regex: "[" } } }] }, { v: { $all: [{ $foo: 1 }] } }, { v: { $eq: 5, $bar: 1 } }, { "v.x": { $or: [1] } },
];

// Paths, combinations, and the events of OneBot.
const group = {
  time: 1700000000, self_id: 10001, post_type: "message", message_type: "group", sub_type: "normal", group_id: 30001, user_id: 20001,
  message_id: 1, raw_message: "[CQ:at,qq=10001] /weather Paris\nplease", font: 0,
  sender: { user_id: 20001, nickname: "小明", role: "admin", level: "5" },
  message: [
    { type: "at", data: { qq: "10001" } },
    { type: "text", data: { text: " /weather Paris\nplease" } },
    { type: "image", data: { file: "a.jpg", url: "http://x/a.jpg", size: 42 } },
  ],
};
const priv = {
  time: 1700000001, self_id: 10001, post_type: "message", message_type: "private", sub_type: "friend", user_id: 20002, message_id: 2,
  raw_message: "Hello 😀", sender: { user_id: 20002, nickname: "b" }, message: [{ type: "text", data: { text: "Hello 😀" } }],
};
const notice = { time: 1700000002, self_id: 10001, post_type: "notice", notice_type: "group_increase", group_id: 30002, user_id: 20003, message_id: null };
const odd = {
  post_type: "odd", a: { b: { c: 1, d: null }, "0": "zero" }, list: [{ b: 1 }, { b: [2, 3] }, { c: null }, null, 7], deep: [[{ b: 1 }], [{ b: 2 }]],
  zero: 0, empty: [], nothing: null, text: "a\u3000b😀", big: 1e21, nested: [[1, [2]], [3]], objects: [{ p: [{ q: 1 }, { q: 2 }] }, { p: [{ q: 3 }] }, { p: [] }],
};
const events = [group, priv, notice, odd];
const filters = [
  {}, { post_type: "message" }, { group_id: 30001 }, { group_id: "30001" }, { group_id: 30001.0 }, { group_id: { $in: [30001, 30002] } },
  { group_id: { $nin: [30001] } }, { group_id: { $exists: false } }, { user_id: { $ne: 20001 } }, { message_type: "private", user_id: 20002 },
  { "sender.role": "admin" }, { "sender.role": { $in: ["owner", "admin"] } }, { "sender.role": { $ne: "member" } }, { "sender.role": { $exists: true } },
  { "sender.role": { $exists: false } }, { "sender.level": { $gte: "5" } }, { "sender.level": { $gt: 4 } }, { sender: { role: "admin" } },
  { sender: { user_id: 20002, nickname: "b" } }, { sender: { nickname: "b", user_id: 20002 } }, { sender: { $exists: true } }, { "sender.nickname.length": 2 },
  { "message.type": "at" }, { "message.type": { $in: ["image", "video"] } }, { "message.type": { $nin: ["image"] } }, { "message.type": { $ne: "at" } },
  { "message.type": { $ne: null } }, { "message.type": null }, { "message.data.qq": "10001" }, { "message.data.qq": 10001 }, { "message.data.qq": null },
  { "message.data.qq": { $exists: true } }, { "message.data.qq": { $exists: false } }, { "message.data.size": { $gt: 40 } }, { "message.data.size": { $gt: 40, $lt: 42 } },
  { "message.data.text": { $regex: "/weather" } }, { "message.data.text": { $not: { $regex: "/weather" } } }, { "message.data.text": { $regex: "^please", $options: "m" } },
  { "message.data.text": { $regex: "Paris.please" } }, { "message.data.text": { $regex: "PARIS.please", $options: "si" } }, { "message.0.type": "at" },
  { "message.0.type": "text" }, { "message.1.data.text": { $regex: "^\\s/" } }, { "message.5.type": null }, { "message.5": null }, { "message.5": { $ne: null } }, { "message.5": { $nin: [null] } }, { "message.5.type": { $ne: null } }, { "message.x": { $ne: null } }, { "message.5": { $in: [null] } },
  { "message.5": { $exists: false } }, { "message.5.type": { $exists: false } }, { "message.length": 3 }, { "message.length": { $lt: 2 } }, { message: { $size: 1 } },
  { message: { $size: 3 } }, { message: { $elemMatch: { type: "at", "data.qq": "10001" } } }, { message: { $elemMatch: { type: "text", "data.qq": "10001" } } },
  { message: { $elemMatch: { type: "text", "data.text": { $regex: "^Hello" } } } }, { message: { $not: { $elemMatch: { type: "image" } } } },
  { message: { $elemMatch: { $nor: [{ type: "at" }, { type: "text" }] } } }, { message: { $all: [{ $elemMatch: { type: "at" } }, { $elemMatch: { type: "image" } }] } },
  { message: { $elemMatch: { type: "at", "data.qq": { $exists: true } } } }, { message: { $exists: true } }, { message: { type: "text", data: { text: "Hello 😀" } } },
  { message: [{ type: "text", data: { text: "Hello 😀" } }] }, { message: { $elemMatch: { type: "text", data: { text: "Hello 😀" } } } },
  { raw_message: { $regex: "^/" } }, { raw_message: { $regex: "^\\[CQ:at,qq=10001\\]" } }, { raw_message: { $regex: "hello", $options: "i" } },
  { raw_message: { $regex: "^please$", $options: "m" } }, { raw_message: { $regex: "please$" } }, { raw_message: { $regex: "\\d{5}" } }, { raw_message: { $gt: "H" } },
  { raw_message: { $regex: "^[^/]*$" } }, { "raw_message.length": { $gt: 10 } }, { "raw_message.length": 8 }, { "raw_message.0": "H" }, { "raw_message.99": { $exists: true } },
  { text: { $regex: "a\\sb" } }, { text: { $regex: "^\\S\\s\\S" } }, { "text.3": { $exists: true } }, { "text.length": 5 }, { text: { $lt: "a\uffff" } }, { text: { $gt: "a\u3000b\uff00" } },
  { $or: [{ message_type: "private" }, { group_id: { $in: [123] } }] }, { $and: [{ post_type: "message" }, { group_id: 30001 }] }, { $nor: [{ group_id: 30001 }, { message_type: "private" }] },
  { $not: { post_type: "message" } }, { $not: { group_id: 30001, user_id: 1 } }, { $not: { $or: [{ group_id: 30001 }, { user_id: 20002 }] } }, { post_type: "message", $or: [{ user_id: 20001 }, { user_id: 20002 }] },
  { $or: [{ $and: [{ post_type: "notice" }, { $not: { group_id: 30001 } }] }, { "sender.role": "admin" }] }, { $not: {} }, { $nor: [{}] }, { $or: [{}] }, { $and: [{}, {}] },
  { $or: [5] }, { $or: [null] }, { $and: ["x"] }, { $or: [[]] }, { $or: [{ nope: null }] }, { $eq: 5 }, { $ne: 5 }, { $exists: true }, { $exists: false }, { $in: [1] }, { $nin: [1] }, { $type: "string" },
  { $all: [{ post_type: "message" }, { group_id: 30001 }] }, { $all: [] }, { $size: 1 }, { $elemMatch: { type: "at" } }, { $gt: 1 }, { $regex: "a" }, { $mod: [4, 0] },
  { "a.b.c": 1 }, { "a.b.d": null }, { "a.b.d": { $exists: true } }, { "a.b.e": null }, { "a.b.e": { $exists: false } }, { "a.b.c.x": null }, { "a.b.c.x": { $exists: false } }, { "a.0": "zero" },
  { "a.b": { c: 1, d: null } }, { "a.b": { c: 1 } }, { "a.b": { c: 1, e: null } }, { "a.b": { $type: "array" } }, { a: { b: { $gt: 0 } } }, { a: { $not: { "b.c": 1 } } }, { a: { $not: { "b.c": 2 } } },
  { "list.b": 1 }, { "list.b": 2 }, { "list.b": 3 }, { "list.b": [2, 3] }, { "list.b": { $size: 2 } }, { "list.b": { $ne: 2 } }, { "list.b": { $nin: [9] } }, { "list.b": null }, { "list.b": { $in: [null] } },
  { "list.b": { $exists: false } }, { "list.c": { $exists: true } }, { "list.c": { $type: "null" } }, { "list.3": null }, { "list.3.b": { $exists: false } }, { "list.4": 7 }, { "list.04": 7 }, { "list.1.b.0": 2 },
  { "list.b.0": 2 }, { "list.b.1": { $gt: 2 } }, { "list.": 7 }, { "list.-1": { $exists: false } }, { list: 7 }, { list: { $elemMatch: { b: { $elemMatch: { $gt: 2 } } } } }, { "list.b": { $elemMatch: { $gt: 2 } } },
  { "list.b": { $not: { $elemMatch: { $gt: 2 } } } }, { "list.b": { $all: [2, 3] } }, { "list.b": { $all: [1, 3] } }, { "list.b": { $mod: [2, 1] } }, { "deep.b": 2 }, { "deep.0.b": 1 }, { "deep.0.b": 2 }, { deep: { $elemMatch: { b: 1 } } },
  { deep: { $elemMatch: { $elemMatch: { b: 2 } } } }, { deep: { b: 1 } }, { "nested": 2 }, { nested: 3 }, { nested: [3] }, { nested: { $elemMatch: { $eq: 3 } } }, { nested: { $ne: 2 } }, { nested: { $size: 1 } }, { nested: { $gt: 2 } },
  { "objects.p.q": 3 }, { "objects.p.q": { $gt: 1, $lt: 2 } }, { "objects.p": { $elemMatch: { q: 3 } } }, { "objects.p": { $size: 0 } }, { objects: { $elemMatch: { "p.q": 2 } } }, { objects: { $elemMatch: { p: { $size: 1 }, "p.q": 3 } } },
  { "objects.p.q": { $not: { $or: [{ $ne: 1 }, { $eq: 9 }] } } }, { "objects.p": { $not: { $elemMatch: { q: 9 } } } }, { "objects.p.q": { $nin: [1, 9] } }, { "objects.p.q": { $exists: false } }, { "objects.0.p.1.q": 2 },
  { zero: 0 }, { zero: false }, { zero: -0.0 }, { zero: { $in: [false, 0] } }, { zero: { $lte: 0 } }, { empty: [] }, { empty: null }, { empty: { $size: 0 } }, { "empty.x": null }, { "empty.x": { $ne: 1 } }, { "empty.0": null },
  { nothing: null }, { nothing: { $exists: true } }, { "nothing.x": null }, { "nothing.x": { $exists: false } }, { "nothing.x": { $type: "null" } }, { message_id: null }, { message_id: { $exists: true } }, { big: { $gt: 1e20 } },
  { self_id: { $mod: [2, 1] } }, { user_id: { $mod: [10000, 2] } }, { time: { $gte: 1700000001 } }, { time: { $gte: "1700000001" } }, { "": null }, { ".": null }, { "sender..role": { $exists: false } },
];

// Filters at random, always the same ones: combinations that nobody thinks of.
let state = 20261129;
function random(count) {
  // Park and Miller's generator; the first bits of its numbers are good enough.
  state = Number((BigInt(state) * 48271n) % 2147483647n);
  return Math.floor((state / 2147483647) * count);
}
const pick = (list) => list[random(list.length)];
const scalars = [1, 2, 5, "a", "b", "5", true, null];
function randomValue(depth) {
  const kind = depth > 0 ? random(10) : random(5);
  if (kind < 6) return pick(scalars);
  if (kind < 8) return Array.from({ length: random(4) }, () => randomValue(depth - 1));
  return Object.fromEntries(Array.from({ length: random(3) }, () => [pick(["x", "y", "0"]), randomValue(depth - 1)]));
}
function randomOperators(depth) {
  const leaves = [
    () => ({ $eq: randomValue(1) }), () => ({ $ne: randomValue(1) }), () => ({ $in: [randomValue(1), randomValue(0)] }),
    () => ({ $nin: [randomValue(1), randomValue(0)] }), () => ({ $gt: randomValue(1) }), () => ({ $lte: randomValue(1) }),
    () => ({ $exists: pick([true, false]) }), () => ({ $size: random(3) }), () => ({ $type: pick(["string", "null", "array"]) }),
    () => ({ $regex: pick(["a", "^5$", ""]) }), () => ({ $mod: [pick([2, 3]), random(2)] }),
    () => ({ $gte: pick(scalars), $ne: pick(scalars) }),
  ];
  const inner = [
    () => ({ $not: randomOperators(depth - 1) }), () => ({ $elemMatch: randomOperators(depth - 1) }), () => ({ $not: randomFilter(depth - 1) }),
    () => ({ $elemMatch: randomFilter(depth - 1) }), () => ({ $all: [randomOperators(depth - 1), randomValue(1)] }),
    () => ({ $not: { $or: [randomOperators(depth - 1), randomOperators(depth - 1)] } }),
    () => ({ $not: { $nor: [randomOperators(depth - 1), randomFilter(depth - 1)] } }),
    () => ({ $elemMatch: { $or: [randomFilter(depth - 1), randomOperators(depth - 1)] } }),
    () => ({ ...randomOperators(depth - 1), ...randomOperators(depth - 1) }),
  ];
  return depth > 0 && random(2) ? pick(inner)() : pick(leaves)();
}
function randomFilter(depth) {
  const path = () => pick(["v", "v.x", "v.0", "v.x.y", "v.0.x", "w", "v.y"]);
  const kind = depth > 0 ? random(9) : 0;
  if (kind < 5) return { [path()]: random(4) ? randomOperators(depth) : randomValue(1) };
  if (kind === 5) return { [path()]: randomOperators(depth - 1), [path()]: randomOperators(depth - 1) };
  const two = [randomFilter(depth - 1), randomFilter(depth - 1)];
  return kind === 6 ? { $or: two } : kind === 7 ? { $nor: two } : { $not: two[0], $and: two };
}
// The same for messages, which lgtwist judges in other ways than other members.
function randomSegmentFilter(depth) {
  const kind = random(5);
  if (kind === 0) return { type: pick(["a", "b", { $ne: "a" }]) };
  if (kind === 1) return { "data.x": randomOperators(depth), type: pick(["a", "b"]) };
  if (kind === 2) return { "data.x": randomValue(1) };
  return kind === 3 ? { $or: [randomSegmentFilter(0), randomSegmentFilter(0)] } : { $not: randomSegmentFilter(0) };
}
function randomMessageFilter(depth) {
  const element = () => ({ $elemMatch: randomSegmentFilter(depth) });
  const kind = random(12);
  if (kind === 0) return { message: element() };
  if (kind === 1) return { message: { $not: element() } };
  if (kind === 2) return { message: { $all: [element(), element()] } };
  if (kind === 3) return { message: pick([{ $size: random(3) }, { $exists: pick([true, false]) }]) };
  if (kind === 4) return { [pick(["$or", "$nor", "$and"])]: [randomMessageFilter(0), randomMessageFilter(0)] };
  const path = pick(["type", "data.x", "0.data.x", "data", "data.y", "data.0", "length", "data.x.y", "1.type"]);
  return { ["message." + path]: random(5) ? randomOperators(depth) : randomValue(1) };
}
const randomSegment = () => ({ type: pick(["a", "b", "5"]), data: { x: randomValue(2), ...(random(2) ? { y: randomValue(1) } : {}) } });
const randomMessages = () =>
  Array.from({ length: 6 }, () => ({ message: random(7) ? Array.from({ length: random(4) }, randomSegment) : pick([null, 5, true]) }));

const COUNT = Number(process.env.SIFT_TABLE_RANDOM ?? 300);
const randomEvents = () => Array.from({ length: 6 }, () => ({ v: randomValue(3), w: randomValue(2) }));

const table = {
  version: VERSION,
  groups: [
    { name: "every operator on every kind of value", events: values, filters: conditions.map((condition) => ({ v: condition })) },
    { name: "paths and combinations", events, filters },
    { name: "what sift throws at", events: [{ v: 5, a: 1 }], filters: wrong },
    ...Array.from({ length: COUNT / 20 }, (_, number) => ({
      name: `at random ${number}`, events: randomEvents(), filters: Array.from({ length: 20 }, () => randomFilter(3)),
    })),
    ...Array.from({ length: COUNT / 20 }, (_, number) => ({
      name: `messages at random ${number}`, events: randomMessages(), filters: Array.from({ length: 20 }, () => randomMessageFilter(2)),
    })),
  ].map(({ name, events, filters }) => ({
    name, events, cases: filters.map((filter) => ({ filter, results: events.map((event) => ask(filter, event)) })),
  })),
};

const lines = table.groups.map(({ name, events, cases }) =>
  [`{"name": ${JSON.stringify(name)},`, `"events": ${JSON.stringify(events)},`, '"cases": [', cases.map((one) => JSON.stringify(one)).join(",\n"), "]}"].join("\n"),
);
const rest = `"version": "${VERSION}",\n"groups": [\n${lines.join(",\n")}\n]}\n`;
const checksum = createHash("sha256").update(readFileSync(fileURLToPath(import.meta.url))).update(rest).digest("hex");
writeFileSync(process.argv[2] ?? join(HERE, "sift_table.json"), `{"checksum": "${checksum}",\n${rest}`);
