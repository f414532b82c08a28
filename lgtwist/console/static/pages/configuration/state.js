// @ts-check
/** The configuration as the page knows it, and what was written but not saved: kept while other pages are looked at. */

import { get, post } from "../../core/api.js";
import { connection } from "../../core/stream.js";
import { effect, signal } from "../../core/ui.js";
import { waiting } from "../../core/configuration.js";

/**
 * @typedef {{written: Record<string, string>, made: Record<string, string>}} Draft
 * @typedef {{etag: string, base: string, text: string}} RawDraft
 */

/** The answer of GET config; null before the first. */
export const config = signal(/** @type {any} */ (null));

/** Why it could not be read. */
export const failure = signal(/** @type {any} */ (null));

/** What was written into forms, by `"<table> <name>"`. @type {any} */
export const drafts = signal(/** @type {Record<string, Draft>} */ ({}));

/** The file as text where it was changed by hand and not saved. @type {any} */
export const raw = signal(/** @type {RawDraft | null} */ (null));

/** The tokens that were made or written here, for the snippets: in this tab's memory alone, until it is logged out. */
export const made = signal(/** @type {Record<string, string>} */ ({}));

effect(() => {
    if (connection.value === "stopped") made.value = {};
});

/** The entry of [[alerts]] that another page leads to, by its place; -1 for none. It is opened once. */
export const wantedAlert = signal(-1);

/** Rows of filters that were changed, and of which no text is made yet: nothing is saved meanwhile. */
export const unsentFilters = signal(0);

/** The tab in view. */
export const tab = signal("accounts");

/** @param {string} key @param {Draft | null} draft */
export function setDraft(key, draft) {
    const rest = { ...drafts.peek() };
    if (draft && Object.keys(draft.written).length) rest[key] = draft;
    else delete rest[key];
    drafts.value = rest;
}

/** Read the configuration (anew). @param {boolean} [quiet] an error is not shown where there is a configuration already */
export async function load(quiet) {
    try {
        const answer = await get("config");
        waiting.value = answer.waiting || [];
        const known = config.peek();
        if (!quiet || !known || known.etag !== answer.etag || known.changed_on_disk !== answer.changed_on_disk) config.value = answer;
        failure.value = null;
    } catch (error) {
        if (!quiet || !config.peek()) failure.value = error;
    }
}

/** Return a new token, made by the server. */
export async function newToken() {
    return (await post("config/token")).token;
}

/** Whether something was written that is not saved. */
export const isUnsaved = () => Object.keys(drafts.peek()).length > 0 || (raw.peek() !== null && raw.peek().text !== raw.peek().base);

window.addEventListener("beforeunload", (event) => {
    if (!isUnsaved()) return;
    event.preventDefault();
    event.returnValue = "";
});

/** A mask: a whole value, or a part of one (in a URL, in a comment). */
const MASK = /•{6}\d+/g;

/**
 * Return each mask of a text with what it stands at: the table (with the entry's own name) and the key.
 * @param {string} text
 * @returns {Array<{mask: string, place: string}>}
 */
function masksOf(text) {
    let header = "";
    let name = "";
    /** @type {Array<{mask: string, header: string, key: string}>} */
    const found = [];
    /** @type {Record<string, string>} */
    const names = {};
    let entry = 0;
    for (const line of text.split(/\r?\n/)) {
        const table = /^\s*#?\s*(\[\[?[^\]]+\]\]?)\s*(#.*)?$/.exec(line);
        if (table) {
            entry += 1;
            header = `${table[1]} ${entry}`;
            name = "";
        }
        const own = /^\s*#?\s*(name|self_id)\s*=\s*(.+?)\s*(#.*)?$/.exec(line);
        if (own && !name) {
            name = own[2];
            names[header] = name;
        }
        for (const each of line.matchAll(MASK)) {
            const key = /^\s*#?\s*([\w.-]+)\s*=/.exec(line);
            found.push({ mask: each[0], header, key: `${/^\s*#/.test(line) ? "#" : ""}${key ? key[1] : ""}` });
        }
    }
    return found.map(({ mask, header: at, key }) => ({ mask, place: `${at.replace(/ \d+$/, "")} ${names[at] || ""} ${key}` }));
}

/** A mask that no file has: the server says at its place that it stands for nothing. */
const NO_MASK = "••••••9999";

/**
 * Return a text made of one version of the file for another: its masks are numbered by place, so that each of
 * them is given the number of the secret at the same place of the other version.
 * @param {string} text @param {string} base the version that it was made of @param {string} now the other
 */
export function moved(text, base, now) {
    /** @type {Map<string, string[]>} */
    const there = new Map();
    for (const { mask, place } of masksOf(now)) there.set(place, [...(there.get(place) || []), mask]);
    /** @type {Map<string, string>} */
    const renamed = new Map();
    for (const { mask, place } of masksOf(base)) {
        const left = there.get(place) || [];
        renamed.set(mask, left.shift() || NO_MASK);
    }
    return text.replace(MASK, (mask) => renamed.get(mask) || NO_MASK);
}
