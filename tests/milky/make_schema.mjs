// Makes schema.json, by which tests judge what is sent and answered, from @saltify/milky-types.
//
//   cd "$(mktemp -d)" && npm install --ignore-scripts @saltify/milky-types@1.2.2
//   cp .../tests/milky/make_schema.mjs . && node make_schema.mjs > .../tests/milky/schema.json
//
// The package is Milky 1.2: what Milky 1.3 has added is added here. Stricter than the package's own parsing:
// keys that it would strip, and incoming segments that it would make a text "[unknown]", are refused.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import * as milky from "@saltify/milky-types";
import { z } from "zod";

const PACKAGE = "@saltify/milky-types";
const VERSION = "1.2.2";

const installed = JSON.parse(
  readFileSync(fileURLToPath(import.meta.resolve(PACKAGE)).replace(/dist\/.*$/, "package.json"), "utf8"),
).version;
if (installed !== VERSION) throw new Error(`${PACKAGE} is ${installed}; this script is for ${VERSION}`);

const registry = z.registry();
for (const [name, schema] of Object.entries(milky.zodCommonStructs)) registry.add(schema, { id: name });
const apis = {};
for (const category of Object.values(milky.zodApiCategories)) {
  for (const [api, { requestSchema, responseSchema }] of Object.entries(category.apis)) {
    apis[api] = [requestSchema !== null, responseSchema !== null];
    if (requestSchema !== null) registry.add(requestSchema, { id: `${api}.request` });
    if (responseSchema !== null) registry.add(responseSchema, { id: `${api}.response` });
  }
}
const { schemas } = z.toJSONSchema(registry, { io: "input", uri: (id) => `#/$defs/${id}` });

const UIN = { type: "integer", minimum: 10001, maximum: 4294967295 };
const COUNT = { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const object = (properties, required = Object.keys(properties)) => ({ type: "object", properties, required });

// What Milky 1.3 has more than 1.2.
schemas.Event.oneOf.push(
  object({
    event_type: { type: "string", const: "group_disband" },
    time: COUNT,
    self_id: UIN,
    data: object({ group_id: UIN, operator_id: UIN }),
  }),
);
schemas.IncomingSegment.oneOf.push(
  object({ type: { type: "string", const: "markdown" }, data: object({ content: { type: "string" } }) }),
);
schemas.OutgoingForwardedMessage.properties.time = { anyOf: [COUNT, { type: "null" }] };
schemas["persist_group_file.request"] = object({ group_id: UIN, file_id: { type: "string" } });
apis.persist_group_file = [true, false];

// APIs without parameters, and those that answer with nothing: an empty object.
for (const [api, [hasRequest, hasResponse]] of Object.entries(apis)) {
  if (!hasRequest) schemas[`${api}.request`] = object({});
  if (!hasResponse) schemas[`${api}.response`] = object({});
}

/** Return a schema without what is only for readers, whose objects refuse keys that it does not name. */
function strict(schema) {
  if (Array.isArray(schema)) return schema.map(strict);
  if (typeof schema !== "object" || schema === null) return schema;
  const { description, default: _default, $id, $schema, id, ...kept } = schema;
  const made = {};
  for (const [key, value] of Object.entries(kept)) {
    made[key] =
      key === "properties"
        ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, strict(one)]))
        : strict(value);
  }
  if (made.type === "object") made.additionalProperties = false;
  return made;
}

/** Return a value with the keys of its objects in order, so that the same schema is the same text. */
function ordered(value) {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, ordered(value[key])]),
  );
}

const defs = ordered(Object.fromEntries(Object.entries(schemas).map(([name, one]) => [name, strict(one)])));
const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const lines = Object.entries(defs).map(([name, one]) => `  ${JSON.stringify(name)}: ${JSON.stringify(one)}`);
const head = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $comment: "Made by make_schema.mjs; not written by hand.",
  "x-package": `${PACKAGE}@${VERSION}`,
  "x-milky-version": "1.3",
  "x-script-sha256": sha256(readFileSync(fileURLToPath(import.meta.url))),
  "x-defs-sha256": sha256(JSON.stringify(defs)),
};
const first = Object.entries(head).map(([key, value]) => ` ${JSON.stringify(key)}: ${JSON.stringify(value)},`);
process.stdout.write(`{\n${first.join("\n")}\n "$defs": {\n${lines.join(",\n")}\n }\n}\n`);
