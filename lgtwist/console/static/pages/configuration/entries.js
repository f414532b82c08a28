// @ts-check
/** The accounts and the bots as cards: their form, what the program at the other side is given, removal. */

import { editConfiguration } from "../../core/configuration.js";
import { get } from "../../core/api.js";
import { t } from "../../core/i18n.js";
import { Button, Code, Empty, html, Icon, Peer, signal, Tabs, useEffect, useState } from "../../core/ui.js";
import { ACCOUNT_FIELDS, BOT_FIELDS } from "./fields.js";
import { EntryForm } from "./form.js";
import { accountSnippets, botSnippets } from "./snippets.js";
import { config, drafts, load, made, newToken, setDraft } from "./state.js";

const KINDS = {
    accounts: { fields: ACCOUNT_FIELDS, kindKey: "type", kindStandard: "sandbox", nameKey: "self_id", first: "reverse-websocket", words: "overview.kind.account." },
    bots: { fields: BOT_FIELDS, kindKey: "connection", kindStandard: "forward-websocket", nameKey: "name", first: "forward-websocket", words: "overview.kind.bot." },
};

/** The URL of the port, as the overview has it; "" before it is known. */
const portUrl = signal("");

/** Ask for the URL of the port once. */
export async function askPortUrl() {
    if (portUrl.peek()) return;
    const own = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
    try {
        const { urls } = await get("state");
        const url = (urls || []).find((each) => /^wss?:/.test(each)) || own;
        portUrl.value = url.replace(/^(wss?:\/\/)(0\.0\.0\.0|\[::\])(?=[:/]|$)/, `$1${location.hostname}`);
    } catch {
        portUrl.value = own;
    }
}

/**
 * What the program at the other side is given, with the token where it is known here.
 * @param {{table: "accounts" | "bots", entry: any}} props
 */
export function Snippets({ table, entry }) {
    const [chosen, setChosen] = useState("");
    useEffect(() => { askPortUrl(); }, []);
    const { kindKey, kindStandard, nameKey } = KINDS[table];
    const whole = { ...entry, [kindKey]: entry[kindKey] || kindStandard };
    const known = (key) => made.value[`${table} ${whole[nameKey]} ${key}`] || (entry[key] && !entry[key].startsWith("•") ? entry[key] : "");
    const place = (key) => known(key) || (entry[key] || entry[`${key}_file`] ? t("configuration.token_place") : "");
    const context = { url: portUrl.value, token: place("access_token"), secret: place("secret") };
    const list = portUrl.value ? (table === "accounts" ? accountSnippets(whole, context) : botSnippets(whole, context)) : [];
    if (!list.length) return null;
    const now = list.find((each) => each.name === chosen) || list[0];
    const complete = ["access_token", "secret"].every((key) => !entry[key] || known(key));
    return html`<div class="stack snippets"><p class="small">${t(`configuration.snippet_${table}`)}</p>
        <${Tabs} label=${t(`configuration.snippet_${table}`)} value=${now.name} onChange=${setChosen} tabs=${list.map((each) => [each.name, each.name])}>
            <div class="stack"><${Code} text=${now.text} label=${now.file} /><p class="muted small">${t("configuration.snippet_file", { file: now.file })}
                ${!complete && html` ${t("configuration.snippet_token")}`}</p></div><//></div>`;
}

/** @param {{table: "accounts" | "bots", entry: any}} props */
function EntryCard({ table, entry }) {
    const { fields, kindKey, kindStandard, nameKey, words } = KINDS[table];
    const [open, setOpen] = useState(false);
    const name = entry[nameKey];
    const kind = entry[kindKey] || kindStandard;
    const draftKey = `${table} ${name}`;
    const shown = open || Boolean(drafts.value[draftKey]);
    const title = t(`configuration.title_${table}`, { name: String(name) });
    const remove = async () => {
        const saved = await editConfiguration([{ op: "remove", path: [table, name] }], {
            title: t(`configuration.remove_${table}`, { name: String(name) }), note: html`<p>${t(`configuration.remove_what_${table}`)}</p>`,
        });
        if (saved) {
            setDraft(draftKey, null);
            await load();
        }
    };
    return html`<article class="card entry-card" aria-label=${title}>
        <button type="button" class="entry-head" aria-expanded=${shown ? "true" : "false"} onClick=${() => setOpen(!shown)} disabled=${shown && !open}>
            <${Icon} name=${shown ? "down" : "right"} /><span class="entry-name names"><${Peer} inline text=${String(name)} /></span>
            <span class="chip">${t(words + kind)}</span>${drafts.value[draftKey] && html`<span class="chip warning">${t("configuration.unsaved")}</span>`}</button>
        ${shown && html`<div class="stack"><${EntryForm} table=${table} base=${[table, name]} entry=${entry} fields=${fields} kindKey=${kindKey} kindStandard=${kindStandard}
                draftKey=${draftKey} title=${title} after=${(whole) => html`<${Snippets} table=${table} entry=${whole} />`}>
                ${table === "bots" && html`<a class="button quiet" href="#/permissions">${t("configuration.permissions")}</a>`}
                <span class="grow"></span><${Button} kind="quiet" icon="trash" onClick=${remove}>${t("configuration.remove")}<//><//>
            <details class="more"><summary><${Icon} name="right" /><span>${t("configuration.other_side")}</span></summary><${Snippets} table=${table} entry=${entry} /></details></div>`}
    </article>`;
}

/** All accounts, or all bots. @param {{table: "accounts" | "bots"}} props */
export function Entries({ table }) {
    const { fields, kindKey, first, nameKey } = KINDS[table];
    const key = `${table} +`;
    const adding = drafts.value[key];
    const list = config.value[table] || [];
    const add = async () => {
        // A new entry has a token from the beginning; who wants none takes it out.
        let token = "";
        try {
            token = await newToken();
        } catch {
            // it can be made in the form
        }
        const kinds = { [kindKey]: first };
        setDraft(key, token ? { written: { ...kinds, access_token: token }, made: { access_token: token } } : { written: kinds, made: {} });
    };
    return html`<section class="section" aria-labelledby=${`${table}-title`}><header><h2 id=${`${table}-title`}>${t(`overview.${table}`)}</h2><span class="grow"></span>
            ${!adding && html`<${Button} icon="plus" onClick=${add}>${t(`configuration.add_${table}`)}<//>`}</header>
        ${adding && html`<article class="card entry-card" aria-label=${t(`configuration.add_${table}`)}><h3>${t(`configuration.add_${table}`)}</h3>
            <${EntryForm} table=${table} base=${null} entry=${{}} fields=${fields} kindKey=${kindKey} kindStandard=${KINDS[table].kindStandard} draftKey=${key} title=${t(`configuration.add_${table}`)}
                after=${(whole) => html`<${Snippets} table=${table} entry=${whole} />`} /></article>`}
        ${list.map((entry, index) => html`<${EntryCard} key=${entry[nameKey] === undefined ? `?${index}` : entry[nameKey]} table=${table} entry=${entry} />`)}
        ${!list.length && !adding && html`<${Empty} icon="plug" title=${t(`configuration.none_${table}`)} />`}</section>`;
}
