// @ts-check
/** The configuration: forms per account and bot, the other tables, the file as text, and a backup. */

import { post } from "../core/api.js";
import { ReloadLines, saves, Waiting, waiting } from "../core/configuration.js";
import { errorText, reasonText, t } from "../core/i18n.js";
import { Bar, Button, html, Problem, Tabs, useEffect, useMemo, useState } from "../core/ui.js";
import { AlertEntries } from "./configuration/alerts.js";
import { Backup } from "./configuration/backup.js";
import { Editor } from "./configuration/editor.js";
import { Entries } from "./configuration/entries.js";
import { TABLES } from "./configuration/fields.js";
import { EntryForm } from "./configuration/form.js";
import { config, drafts, failure, load, raw, tab } from "./configuration/state.js";
import { tableValues } from "./configuration/tables.js";

const TABS = ["accounts", "bots", "alerts", "settings", "file", "backup"];

/** The tables that are there once. */
function Settings() {
    const { text } = config.value;
    const values = useMemo(() => tableValues(text), [text]);
    return html`<div class="stack settings">${TABLES.map(([table, fields]) => html`<details class="card more" key=${table} open=${table === "server" || Boolean(drafts.value[`table ${table}`])}>
        <summary><h2>${t(`configuration.table_${table || "top"}`)} ${table && html`<code class="muted">[${table}]</code>`}</h2></summary>
        <${EntryForm} table=${table} base=${table ? [table] : []} entry=${values[table] || {}} fields=${fields} draftKey=${`table ${table}`} title=${t(`configuration.table_${table || "top"}`)} /></details>`)}</div>`;
}

/** Load the file again, and say what came of it. */
function Reload() {
    const [answer, setAnswer] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    const reload = async () => {
        setError(null);
        setAnswer(null);
        try {
            const said = await post("reload");
            waiting.value = said.waiting || [];
            setAnswer(said);
            await load();
        } catch (refusal) {
            setError(refusal);
        }
    };
    return html`<${Button} icon="refresh" onClick=${reload}>${t("configuration.reload")}<//>
        <div class="reload-answer" aria-live="polite">${error && html`<${Problem} error=${error} text=${errorText(error)} />`}${answer && html`<div class="card stack"><${ReloadLines} reload=${answer} /></div>`}</div>`;
}

/** Show the tab that the fragment names, `#/configuration/bots`. */
function followFragment() {
    const [page, named] = location.hash.replace(/^#\/?/, "").split("?")[0].split("/");
    if (page === "configuration") tab.value = TABS.includes(named) ? named : TABS[0];
}

export default function Page() {
    useEffect(() => { load(); }, [saves.value]);
    useEffect(() => {
        // Who comes back from another page finds the tab that was left.
        if (/^#\/?configuration\/?$/.test(location.hash)) history.replaceState(null, "", `#/configuration/${tab.peek()}`);
        followFragment();
        window.addEventListener("hashchange", followFragment);
        return () => window.removeEventListener("hashchange", followFragment);
    }, []);
    useEffect(() => {
        // The file's own tab looks by itself.
        const glance = () => { if (!document.hidden && tab.peek() !== "file") load(true); };
        window.addEventListener("focus", glance);
        return () => window.removeEventListener("focus", glance);
    }, []);
    const known = config.value;
    if (!known) {
        return html`<h1>${t("configuration.title")}</h1>${failure.value ? html`<${Problem} error=${failure.value} text=${errorText(failure.value)} /><div><${Button} onClick=${() => load()}>${t("frame.retry")}<//></div><${Backup} />`
            : html`<p class="muted loading" role="status">${t("configuration.loading")}</p>`}`;
    }
    const chosen = tab.value;
    const marked = {
        accounts: Object.keys(drafts.value).some((key) => key.startsWith("accounts ")), bots: Object.keys(drafts.value).some((key) => key.startsWith("bots ")),
        alerts: Object.keys(drafts.value).some((key) => key.startsWith("alerts ")),
        settings: Object.keys(drafts.value).some((key) => key.startsWith("table ")), file: raw.value !== null,
    };
    return html`<div class="configuration-head"><h1>${t("configuration.title")}</h1>
            <p class="muted small grow">${known.path && html`<bdi class="peer mono">${known.path}</bdi> `}${(!known.path || known.exists === false) && t("configuration.no_file")}</p><${Reload} /></div>
        ${!known.writable && html`<${Bar} kind="warning"><bdi class="peer">${t("configuration.read_only", { why: reasonText(known.why_not, "cannot_write") })}</bdi><//>`}
        ${known.changed_on_disk && html`<${Bar} kind="info">${t("configuration.changed_since")}<//>`}
        ${waiting.value.length > 0 && html`<div class="card"><${Waiting} keys=${waiting.value} /></div>`}
        <${Tabs} label=${t("configuration.title")} value=${chosen} onChange=${(key) => { tab.value = key; location.hash = `#/configuration/${key}`; }} tabs=${TABS.map((key) => [key, `${t(`configuration.tab_${key}`)}${marked[key] ? " •" : ""}`])}>
            ${chosen === "accounts" && html`<${Entries} key="accounts" table="accounts" />`}
            ${chosen === "bots" && html`<${Entries} key="bots" table="bots" />`}
            ${chosen === "alerts" && html`<${AlertEntries} />`}
            ${chosen === "settings" && html`<${Settings} />`}
            ${chosen === "file" && html`<${Editor} />`}
            ${chosen === "backup" && html`<${Backup} />`}<//>
        ${known.backups && known.backups.length > 0 && chosen === "file" && html`<p class="muted small">${t("configuration.backups")} ${known.backups.map((name) => html`<code class="peer">${name}</code> `)}</p>`}`;
}
