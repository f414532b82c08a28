// @ts-check
/** The last actions of this browser, without secrets; and a call as something to paste elsewhere. */

import { apiBase } from "../../core/api.js";
import { signal } from "../../core/ui.js";
import { local } from "../../core/store.js";
import { parseJson } from "./params.js";

/** Actions that are kept, and characters of the parameters of one. */
const MAX_ENTRIES = 20;
const MAX_PARAMS = 20000;

/** Names of secrets, as the server's redaction has them, without "_" and "-", in lower case. */
const SECRET_NAME = /token|secret|passw|cookie|clientkey|authorization|csrf|credential|apikey|privatekey|[rs]keys?$|^(?:psk|pwd|ptwebqq|bkn|gtk)/;
/** Such values in URLs and CQ codes. */
const SECRET_VALUE = /([?&,;\s][\w-]*(?:token|secret|passw|cookie|clientkey|[rs]key)[\w-]*=)[^&,\s\]"']+/gi;

/**
 * @typedef {{t: number, account: number, action: string, params: string | null, status: string, retcode: number | null, ms: number | null}} Entry
 */

/** @param {string} name */
const isSecret = (name) => SECRET_NAME.test(name.toLowerCase().replace(/[\W_]+/g, ""));

/** Return a value without the members that are named like secrets. @param {any} value @returns {any} */
export function withoutSecrets(value) {
    if (typeof value === "string") return value.replace(SECRET_VALUE, "$1");
    if (Array.isArray(value)) return value.map(withoutSecrets);
    if (!value || typeof value !== "object" || Object.isFrozen(value)) return value;
    return Object.fromEntries(Object.entries(value).filter(([name]) => !isSecret(name)).map(([name, inner]) => [name, withoutSecrets(inner)]));
}

/** @returns {Entry[]} */
function read() {
    try {
        const kept = JSON.parse(local.get("tester.history") || "[]");
        const right = (each) => each && typeof each === "object" && typeof each.action === "string" && typeof each.account === "number";
        return Array.isArray(kept) ? kept.filter(right).slice(0, MAX_ENTRIES) : [];
    } catch {
        return [];
    }
}

/** The newest first. */
export const history = signal(read());

/** @param {Entry[]} entries */
function keep(entries) {
    history.value = entries;
    local.set("tester.history", JSON.stringify(entries));
}

/** Add an action. @param {Omit<Entry, "params"> & {params: Record<string, any>}} called */
export function remember(called) {
    const text = JSON.stringify(withoutSecrets(called.params));
    const entry = { ...called, params: text.length > MAX_PARAMS ? null : text };
    const others = read().filter((each) => each.action !== entry.action || each.account !== entry.account || each.params !== entry.params);
    keep([entry, ...others].slice(0, MAX_ENTRIES));
}

export const forgetAll = () => keep([]);

/** Return the parameters of an entry. @param {Entry} entry */
export function paramsOf(entry) {
    try {
        return entry.params === null ? {} : parseJson(entry.params);
    } catch {
        return {};
    }
}

/** Characters that turn text round or cannot be seen are escaped, so that what is pasted is what is read. */
const escapeInvisible = (json) => json.replace(/[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** @param {number} account @param {string} action @param {Record<string, any>} params */
export const bodyOf = (account, action, params) => JSON.stringify({ account, action, params });

/** Return a call as a line of curl; the token is that of the shell's variable TOKEN. */
export function asCurl(account, action, params) {
    const quoted = (text) => `'${text.replace(/'/g, "'\\''")}'`;
    const body = escapeInvisible(bodyOf(account, action, params));
    return `curl ${quoted(`${location.origin}${apiBase}call`)} -H "Authorization: Bearer $TOKEN" --data-binary ${quoted(body)}`;
}

/** Return a call as a Python program of the standard library; the token is that of the environment's TOKEN. */
export function asPython(account, action, params) {
    const body = JSON.stringify(escapeInvisible(bodyOf(account, action, params)));
    return ["import os", "import urllib.request", "",
        "request = urllib.request.Request(",
        `    ${JSON.stringify(`${location.origin}${apiBase}call`)},`,
        `    data=${body}.encode(),`,
        '    headers={"Authorization": "Bearer " + os.environ["TOKEN"], "Content-Type": "application/json"},',
        ")", "with urllib.request.urlopen(request) as answer:", "    print(answer.read().decode())", ""].join("\n");
}
