// @ts-check
/** The keys of the configuration's tables as fields of forms, and the edits that a filled form stands for. */

/**
 * `chips` and `ids` are lists of texts and of numbers, whose text in a form is JSON: an empty list is not a missing one.
 * `narrows`: a list that lets nothing else pass. `part`: the part of the form that the field is in.
 * @typedef {{path: string[], type: "text" | "number" | "secret" | "choice" | "choices" | "list" | "one-or-list" | "numbers" | "boolean" | "chips" | "ids" | "filter",
 *   kinds?: string[], choices?: string[], proposals?: string[], standard?: string, required?: boolean, more?: boolean, narrows?: boolean, part?: "events",
 *   when?: [string, string], given?: boolean, lines?: number}} FormField
 * @typedef {{op: "set" | "unset" | "add" | "remove", path: Array<string | number>, value?: any}} Edit
 */

const FORWARD = "forward-websocket";
const REVERSE = "reverse-websocket";
const POST = "http-post";
const REMOTE = [FORWARD, REVERSE, "http"];
const MILKY = ["milky"];

export const ACCOUNT_KINDS = [REVERSE, FORWARD, "http", "milky", "sandbox"];
export const BOT_KINDS = [FORWARD, REVERSE, POST];

/** @type {FormField[]} */
export const ACCOUNT_FIELDS = [
    { path: ["self_id"], type: "number", required: true },
    { path: ["type"], type: "choice", choices: ACCOUNT_KINDS, standard: "sandbox" },
    { path: ["url"], type: "text", kinds: [FORWARD, "http", "milky"], required: true },
    { path: ["access_token"], type: "secret", kinds: [...REMOTE, "milky"] },
    { path: ["secret"], type: "secret", kinds: ["http"] },
    { path: ["world"], type: "text", kinds: ["sandbox"] },
    { path: ["public_url"], type: "text", kinds: ["sandbox"] },
    { path: ["dialect"], type: "choice", kinds: REMOTE, choices: ["auto", "onebot11", "lagrange", "napcat", "llbot", "go-cqhttp"], standard: "auto", more: true },
    { path: ["outgoing_format"], type: "choice", kinds: REMOTE, choices: ["as-is", "array", "string"], standard: "as-is", more: true },
    { path: ["access_token_file"], type: "text", kinds: [...REMOTE, "milky"], more: true },
    { path: ["secret_file"], type: "text", kinds: ["http"], more: true },
    { path: ["ca_file"], type: "text", kinds: [FORWARD, "http", "milky"], more: true },
    { path: ["event_stream"], type: "choice", kinds: MILKY, choices: ["websocket", "sse"], standard: "websocket", more: true },
    { path: ["self_messages"], type: "boolean", kinds: MILKY, standard: "false", more: true },
    { path: ["back_fill", "max_messages"], type: "number", kinds: MILKY, standard: "300", more: true },
    { path: ["back_fill", "max_age"], type: "text", kinds: MILKY, standard: "10m", more: true },
    { path: ["reconnect", "min"], type: "text", kinds: [FORWARD, "milky"], standard: "1s", more: true },
    { path: ["reconnect", "max"], type: "text", kinds: [FORWARD, "milky"], standard: "60s", more: true },
    { path: ["media_hosts"], type: "list", kinds: ["sandbox"], more: true },
    { path: ["media_dirs"], type: "list", kinds: ["sandbox"], more: true },
];

/** @type {FormField[]} */
export const BOT_FIELDS = [
    { path: ["name"], type: "text", required: true },
    { path: ["connection"], type: "choice", choices: BOT_KINDS, standard: FORWARD },
    { path: ["url"], type: "text", kinds: [REVERSE, POST] },
    { path: ["access_token"], type: "secret" },
    { path: ["secret"], type: "secret", kinds: [POST] },
    { path: ["accounts"], type: "numbers" },
    { path: ["message_format"], type: "choice", choices: ["as-is", "array", "string"], standard: "as-is" },
    { path: ["delivery"], type: "choice", choices: ["live", "at-least-once"], standard: "live" },
    { path: ["timeout"], type: "text", kinds: [POST], standard: "5s", more: true },
    { path: ["api_url"], type: "text", kinds: [REVERSE], more: true },
    { path: ["event_url"], type: "text", kinds: [REVERSE], more: true },
    { path: ["access_token_file"], type: "text", more: true },
    { path: ["secret_file"], type: "text", kinds: [POST], more: true },
    { path: ["ca_file"], type: "text", kinds: [REVERSE, POST], more: true },
    { path: ["reconnect", "min"], type: "text", kinds: [REVERSE], standard: "1s", more: true },
    { path: ["reconnect", "max"], type: "text", kinds: [REVERSE], standard: "60s", more: true },
    { path: ["replay", "max_age"], type: "text", when: ["delivery", "at-least-once"], more: true },
    { path: ["replay", "max_events"], type: "number", when: ["delivery", "at-least-once"], more: true },
    { path: ["replay", "rate"], type: "number", when: ["delivery", "at-least-once"], more: true },
    { path: ["replay", "mark"], type: "boolean", when: ["delivery", "at-least-once"], more: true },
    { path: ["replay", "grace"], type: "text", when: ["delivery", "at-least-once"], more: true },
    { path: ["replay", "delay"], type: "text", when: ["delivery", "at-least-once"], more: true },
    { path: ["events", "post_type"], type: "chips", narrows: true, proposals: ["message", "notice", "request", "message_sent"], part: "events" },
    { path: ["events", "group_id"], type: "ids", narrows: true, part: "events" },
    { path: ["events", "user_id"], type: "ids", narrows: true, part: "events" },
    { path: ["events", "deny", "group_id"], type: "ids", part: "events" },
    { path: ["events", "deny", "user_id"], type: "ids", part: "events" },
    { path: ["events", "private"], type: "boolean", standard: "true", part: "events" },
    { path: ["events", "roles"], type: "chips", narrows: true, proposals: ["owner", "admin", "member"], part: "events" },
    { path: ["events", "any_of", "at_me"], type: "boolean", standard: "false", part: "events" },
    { path: ["events", "any_of", "reply_to_me"], type: "boolean", standard: "false", part: "events" },
    { path: ["events", "any_of", "private"], type: "boolean", standard: "false", part: "events" },
    { path: ["events", "any_of", "prefix"], type: "chips", proposals: ["/", "#", "!", "！", "."], part: "events" },
    { path: ["events", "any_of", "keyword"], type: "chips", part: "events" },
    { path: ["filter"], type: "filter", part: "events" },
    { path: ["filter_file"], type: "text", part: "events" },
];

export const ALERT_KINDS = ["feishu", "dingtalk", "wecom", "telegram", "ntfy", "bark", "serverchan", "email", "webhook"];
export const ALERT_RULES = ["offline", "away", "backlog", "lost", "journal", "tokens"];
const BY_URL = ALERT_KINDS.filter((kind) => kind !== "email");
const WITH_SECRET = ["feishu", "dingtalk", "telegram", "ntfy", "bark", "serverchan", "webhook"];
const MAIL = ["email"];

/** @type {FormField[]} */
export const ALERT_FIELDS = [
    { path: ["kind"], type: "choice", choices: ALERT_KINDS, required: true },
    { path: ["url"], type: "secret", kinds: BY_URL, given: true },
    { path: ["secret"], type: "secret", kinds: WITH_SECRET, given: true },
    { path: ["server"], type: "text", kinds: MAIL, required: true },
    { path: ["port"], type: "number", kinds: MAIL },
    { path: ["tls"], type: "choice", choices: ["starttls", "tls"], kinds: MAIL },
    { path: ["user"], type: "text", kinds: MAIL },
    { path: ["password"], type: "secret", kinds: MAIL, given: true },
    { path: ["sender"], type: "text", kinds: MAIL },
    { path: ["to"], type: "one-or-list", kinds: ["telegram", "ntfy", "email"] },
    { path: ["on"], type: "choices", choices: ALERT_RULES },
    { path: ["after"], type: "text", standard: "2m" },
    { path: ["backlog"], type: "number", standard: "1000" },
    { path: ["accounts"], type: "numbers" },
    { path: ["bots"], type: "list" },
    { path: ["language"], type: "choice", choices: ["zh", "en"], standard: "zh" },
    { path: ["template"], type: "text", kinds: ["webhook"], lines: 6, more: true },
    { path: ["url_file"], type: "text", kinds: BY_URL, more: true },
    { path: ["secret_file"], type: "text", kinds: WITH_SECRET, more: true },
    { path: ["password_file"], type: "text", kinds: MAIL, more: true },
    { path: ["ca_file"], type: "text", more: true },
    { path: ["chat_id"], type: "text", kinds: ["telegram"], more: true },
    { path: ["topic"], type: "text", kinds: ["ntfy"], more: true },
];

/** @param {string} key @param {string} standard @returns {FormField} */
const text = (key, standard) => ({ path: [key], type: "text", standard });
/** @param {string} key @param {string} standard @returns {FormField} */
const count = (key, standard) => ({ path: [key], type: "number", standard });

/** The tables that are there once, by their name; "" is the top level. @type {Array<[string, FormField[]]>} */
export const TABLES = [
    ["server", [
        { path: ["endpoints"], type: "list", standard: "tcp:8081:interface=127.0.0.1" },
        { path: ["allowed_origins"], type: "list" },
        { path: ["admin_token"], type: "secret" },
        { path: ["admin_token_file"], type: "text" },
    ]],
    ["console", [{ path: ["enabled"], type: "boolean", standard: "true" }]],
    ["journal", [
        text("retention", "7d"), text("max_size", "1GiB"),
        { path: ["sync"], type: "choice", choices: ["full", "normal"], standard: "full" },
        { path: ["on_damage"], type: "choice", choices: ["stop", "set-aside"], standard: "stop" },
    ]],
    ["limits", [
        text("max_message", "32MiB"), text("handshake_timeout", "5s"), text("body_timeout", "60s"), text("idle_timeout", "60s"),
        text("close_timeout", "2s"), text("ping_interval", "15s"), text("ping_timeout", "60s"), text("tcp_user_timeout", "25s"),
        text("send_buffer", "4MiB"), text("action_timeout", "60s"), text("heartbeat_interval", "5s"), count("connections", "10000"),
        count("handshakes", "1000"), count("failed_handshakes", "30"), text("peer_memory", "64MiB"), count("calls", "1000"),
    ]],
    ["", [text("data_dir", "lgtwist-data")]],
];

/** @param {FormField} field */
export const idOf = (field) => field.path.join(".");

/** @param {any} entry @param {string[]} path @returns {any} */
export function valueAt(entry, path) {
    return path.reduce((value, key) => (value && typeof value === "object" ? value[key] : undefined), entry);
}

/** The fields of a kind. @param {FormField[]} fields @param {string} kind */
export const fieldsOf = (fields, kind) => fields.filter((field) => !field.kinds || field.kinds.includes(kind));

/** Return a value of the file as the text of a field. @param {any} value */
export function asText(value) {
    if (value === undefined || value === null) return "";
    if (Array.isArray(value)) return value.join(value.every((each) => typeof each === "number") ? ", " : "\n");
    return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Return a value of the file as the text of a certain field. @param {FormField} field @param {any} value */
export function fieldText(field, value) {
    if (field.type !== "chips" && field.type !== "ids") return asText(value);
    return Array.isArray(value) ? JSON.stringify(value) : asText(value);
}

/** Return the list that the text of a field with chips stands for. @param {string} text @returns {any[] | undefined} */
export function listOf(text) {
    try {
        const list = JSON.parse(text);
        return Array.isArray(list) ? list : undefined;
    } catch {
        return undefined;
    }
}

/**
 * Return the value that the text of a field stands for; `undefined` where the key is left out.
 * @param {FormField} field @param {string} written
 * @returns {{value?: any, error?: string}} `error` is a code of the words `configuration.wrong.*`
 */
export function read(field, written) {
    const trimmed = written.trim();
    if (!trimmed) return field.required ? { error: "required" } : {};
    switch (field.type) {
        case "number": {
            if (/^\d+(\.\d+)?$/.test(trimmed) && (trimmed.includes(".") || Number.isSafeInteger(Number(trimmed)))) return { value: Number(trimmed) };
            return { error: "number" };
        }
        case "numbers": {
            const parts = trimmed.split(/[\s,，、]+/).filter(Boolean);
            return parts.every((part) => /^\d+$/.test(part) && Number.isSafeInteger(Number(part))) ? { value: parts.map(Number) } : { error: "numbers" };
        }
        case "choices": {
            const chosen = trimmed.split("\n");
            return chosen.includes("-") ? { error: "choices" } : chosen.length === (field.choices || []).length ? {} : { value: chosen };
        }
        case "one-or-list": {
            const values = trimmed.split("\n").map((line) => line.trim()).filter(Boolean);
            return { value: values.length === 1 ? values[0] : values };
        }
        case "list":
            return { value: trimmed.split("\n").map((line) => line.trim()).filter(Boolean) };
        case "chips":
        case "ids":
            return { value: listOf(trimmed) };
        case "boolean":
            return { value: trimmed === "true" };
        default:
            return { value: trimmed };
    }
}

/** Tables that are taken out with their last key: an empty any_of is a mistake. */
const GOES_WITH_ITS_KEYS = [["events", "deny"], ["events", "any_of"]];

/**
 * Return edits that take out a whole table in place of all of its keys.
 * @param {Edit[]} edits @param {Array<string | number>} base the path of the entry @param {any} entry as it was
 */
export function withoutEmptyTables(edits, base, entry) {
    return GOES_WITH_ITS_KEYS.reduce((before, path) => {
        const table = [...base, ...path];
        const inside = (edit) => table.every((key, index) => edit.path[index] === key);
        const there = Object.keys(valueAt(entry, path) || {});
        const taken = before.filter((edit) => inside(edit) && edit.op === "unset").map((edit) => edit.path[table.length]);
        if (!there.length || before.some((edit) => inside(edit) && edit.op !== "unset") || !there.every((key) => taken.includes(key))) return before;
        return [...before.filter((edit) => !inside(edit)), { op: "unset", path: table }];
    }, edits);
}

/**
 * Return the edits that make of an entry what was written into the fields, and what is wrong by their names.
 *
 * Keys that the new kind does not have are taken out: they would be mistakes. What the entry is named by is
 * changed last, for the other edits name it by what it was called before.
 * @param {{base: Array<string | number>, entry: any, fields: FormField[], kind: string, written: Record<string, string>}} form
 */
export function editsOf({ base, entry, fields, kind, written }) {
    /** @type {Edit[]} */
    const edits = [];
    /** @type {Edit[]} */
    const last = [];
    /** @type {Record<string, string>} */
    const errors = {};
    for (const field of fields) {
        const id = idOf(field);
        const old = valueAt(entry, field.path);
        const path = [...base, ...field.path];
        if (field.kinds && !field.kinds.includes(kind)) {
            if (old !== undefined) edits.push({ op: "unset", path });
            continue;
        }
        const has = Object.prototype.hasOwnProperty.call(written, id);
        const { value, error } = read(field, has ? written[id] : fieldText(field, old));
        if (error && (has || old === undefined)) errors[id] = error;
        else if (!has) continue;
        else if (value === undefined) {
            if (old !== undefined) edits.push({ op: "unset", path });
        } else if (JSON.stringify(value) !== JSON.stringify(old)) {
            (id === "name" || id === "self_id" ? last : edits).push({ op: "set", path, value });
        }
    }
    return { edits: [...withoutEmptyTables(edits, base, entry), ...last], errors };
}

/**
 * Return the new entry of a filled form, as the value of an edit "add".
 * @param {FormField[]} fields @param {string} kind @param {Record<string, string>} written
 */
export function entryOf(fields, kind, written) {
    /** @type {Record<string, any>} */
    const entry = {};
    /** @type {Record<string, string>} */
    const errors = {};
    for (const field of fieldsOf(fields, kind)) {
        const id = idOf(field);
        const { value, error } = read(field, written[id] || "");
        if (error) errors[id] = error;
        if (value === undefined || error) continue;
        const last = field.path[field.path.length - 1];
        const table = field.path.slice(0, -1).reduce((inner, key) => (inner[key] = inner[key] || {}), entry);
        table[last] = value;
    }
    return { entry, errors };
}

/** What a change of a key does beside counting at once, as far as the words say it. */
const EFFECTS = ["anew", "sessions", "restart", "nothing"];

/**
 * Return the help of a key, in a language: its sentence, its default, an example, and what a change does.
 * @param {any} keys of GET config @param {string} table @param {string[]} path @param {string} kind @param {string} language
 */
export function helpOf(keys, table, path, kind, language) {
    const name = [table, ...path].filter(Boolean).join(".");
    const found = (keys && keys[name]) || {};
    const effect = (found.effects && found.effects[kind]) || found.effect || "";
    return { text: found[language] || found.en || "", standard: asText(found.default), example: asText(found.example), effect: EFFECTS.includes(effect) ? effect : "" };
}
