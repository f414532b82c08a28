// @ts-check
/** The entries of [[alerts]] as cards: they have no names, and are known by their places. */

import { editConfiguration } from "../../core/configuration.js";
import { t } from "../../core/i18n.js";
import { Button, Empty, html, Icon, useEffect, useState } from "../../core/ui.js";
import { ALERT_FIELDS, ALERT_KINDS } from "./fields.js";
import { EntryForm } from "./form.js";
import { config, drafts, load, setDraft, wantedAlert } from "./state.js";

const NEW = "alerts +";

/** @param {string} kind */
const kindText = (kind) => (ALERT_KINDS.includes(kind) ? t(`alerts.kind.${kind}`) : kind);

/** How to get the URL of a kind. @param {{kind: string}} props */
function How({ kind }) {
    return ALERT_KINDS.includes(kind) ? html`<p class="alert-how small"><b>${t("alerts.how")}</b><br />${t(`alerts.how.${kind}`)}</p>` : null;
}

/** @param {{entry: any, index: number}} props */
function AlertCard({ entry, index }) {
    const [open, setOpen] = useState(() => wantedAlert.peek() === index);
    const draftKey = `alerts ${index}`;
    const draft = drafts.value[draftKey];
    const shown = open || Boolean(draft);
    const n = index + 1;
    const kind = (draft && draft.written.kind) || entry.kind || "";
    const title = t("configuration.title_alerts", { n, kind: kindText(entry.kind || "?") });
    /** The drafts of the other entries are by their places, which change. */
    const remove = async () => {
        const saved = await editConfiguration([{ op: "remove", path: ["alerts", index] }], { title: t("configuration.remove_alerts", { n }), note: html`<p>${t("configuration.remove_what_alerts")}</p>` });
        if (!saved) return;
        for (const key of Object.keys(drafts.peek())) if (/^alerts \d/.test(key)) setDraft(key, null);
        await load();
    };
    return html`<article class="card entry-card" aria-label=${title}>
        <button type="button" class="entry-head" aria-expanded=${shown ? "true" : "false"} onClick=${() => setOpen(!shown)} disabled=${shown && !open}>
            <${Icon} name=${shown ? "down" : "right"} /><span class="entry-name">${t("alerts.to_nowhere", { n })}</span>
            <span class="chip">${kindText(entry.kind || "?")}</span>${draft && html`<span class="chip warning">${t("configuration.unsaved")}</span>`}</button>
        ${shown && html`<div class="stack"><${How} kind=${kind} />
            <${EntryForm} table="alerts" base=${["alerts", index]} entry=${entry} fields=${ALERT_FIELDS} kindKey="kind" draftKey=${draftKey} title=${title}>
                <a class="button quiet" href="#/alerts">${t("configuration.alerts_page")}</a>
                <span class="grow"></span><${Button} kind="quiet" icon="trash" onClick=${remove}>${t("configuration.remove")}<//><//></div>`}
    </article>`;
}

/** All entries. */
export function AlertEntries() {
    const list = config.value.alerts || [];
    const adding = drafts.value[NEW];
    useEffect(() => { wantedAlert.value = -1; }, []);
    const add = () => setDraft(NEW, { written: { kind: ALERT_KINDS[0] }, made: {} });
    return html`<section class="section" aria-labelledby="alerts-title"><header><h2 id="alerts-title">${t("configuration.tab_alerts")}</h2><span class="grow"></span>
            ${!adding && html`<${Button} icon="plus" onClick=${add}>${t("configuration.add_alerts")}<//>`}</header>
        ${adding && html`<article class="card entry-card" aria-label=${t("configuration.add_alerts")}><h3>${t("configuration.add_alerts")}</h3>
            <div class="stack"><${How} kind=${adding.written.kind} />
                <${EntryForm} table="alerts" base=${null} entry=${{}} fields=${ALERT_FIELDS} kindKey="kind" draftKey=${NEW} title=${t("configuration.add_alerts")} /></div></article>`}
        ${list.map((entry, index) => html`<${AlertCard} key=${`${list.length} ${index}`} entry=${entry} index=${index} />`)}
        ${!list.length && !adding && html`<${Empty} icon="bell" title=${t("configuration.none_alerts")} />`}</section>`;
}
