// @ts-check
/** What a file without accounts, or without bots, stands for: it is gone as soon as the file has one. */

/** The account and the bot that are there without being configured. */
const DEFAULTS = {
    accounts: { key: "self_id", entry: { type: "sandbox", self_id: 10001 } },
    bots: { key: "name", entry: { name: "default" } },
};

/**
 * Return the edits that add an entry, and keep what was there without being configured.
 * @param {any} known the answer of GET config @param {"accounts" | "bots"} table @param {Record<string, any>} entry
 * @returns {Array<{op: "add", path: string[], value: any}>}
 */
export function additions(known, table, entry) {
    const { key, entry: other } = DEFAULTS[table];
    const keep = known && known[table] && !known[table].length && entry[key] !== other[key];
    return [...(keep ? [other] : []), entry].map((value) => ({ op: "add", path: [table], value }));
}
