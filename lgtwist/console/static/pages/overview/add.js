// @ts-check
/** Let in who was refused: its block of configuration with a new token, which the other side is given too. */

import { editConfiguration, saves } from "../../core/configuration.js";
import { get } from "../../core/api.js";
import { errorText, t } from "../../core/i18n.js";
import { Button, html, Problem, signal, useEffect, useState } from "../../core/ui.js";
import { additions } from "../configuration/defaults.js";
import { Snippets } from "../configuration/entries.js";
import { made, newToken } from "../configuration/state.js";

/** The configuration, asked for when somebody was refused: whether it can be written, and what is in it. */
const config = signal(/** @type {any} */ (null));
let asking = false;

/** Ask for the configuration, once for all cards. */
function ask() {
    if (asking) return;
    asking = true;
    get("config").then((answer) => { config.value = answer; }, () => {}).then(() => { asking = false; });
}

/**
 * Read a block as the server makes them: a header, and keys whose values are JSON too.
 * @param {string} block
 * @returns {{table: "accounts" | "bots", entry: Record<string, any>} | null}
 */
export function readBlock(block) {
    /** @type {Record<string, any>} */
    const entry = {};
    let table = "";
    for (const line of block.split("\n")) {
        const header = /^\[\[(accounts|bots)\]\]\s*$/.exec(line);
        const pair = /^(\w+) = (.+)$/.exec(line);
        if (header) table = header[1];
        else if (pair) {
            try {
                entry[pair[1]] = JSON.parse(pair[2]);
            } catch {
                return null;
            }
        }
    }
    return table ? { table: /** @type {any} */ (table), entry } : null;
}

/** A button that adds the account or the bot of a block, where the file can be written. @param {{block: string, current: any}} props */
export function Add({ block, current }) {
    const [error, setError] = useState(/** @type {any} */ (null));
    useEffect(ask, [saves.value]);
    const read = readBlock(block);
    if (!read || !config.value || !config.value.writable) return null;
    const { table, entry } = read;
    const nameKey = table === "accounts" ? "self_id" : "name";
    const name = entry[nameKey];
    const known = table === "accounts" ? current.accounts.some((card) => card.account === name) : current.bots.some((card) => card.bot === name);
    const word = known ? "overview.add_token" : table === "accounts" ? "overview.add_account" : "overview.add_bot";
    const add = async () => {
        setError(null);
        try {
            const secrets = ["access_token", "secret"].filter((key) => entry[key] === "");
            const whole = { ...entry };
            for (const key of secrets) whole[key] = await newToken();
            const edits = known ? secrets.map((key) => ({ op: /** @type {"set"} */ ("set"), path: [table, name, key], value: whole[key] }))
                : additions(config.value, table, whole);
            await editConfiguration(edits, {
                title: t(word, { name: String(name) }), after: () => html`<p>${t("overview.add_then")}</p><${Snippets} table=${table} entry=${whole} />`,
                note: known ? html`<p>${t("overview.add_token_what")}</p>` : edits.length > 1 ? html`<p>${t(`configuration.keeps_${table}`)}</p>` : undefined,
            }) && (made.value = { ...made.peek(), ...Object.fromEntries(secrets.map((key) => [`${table} ${name} ${key}`, whole[key]])) });
        } catch (refusal) {
            setError(refusal);
        }
    };
    return html`<div class="row"><${Button} kind="primary" icon="plus" onClick=${add}>${t(word, { name: String(name) })}<//></div>
        ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}`;
}
