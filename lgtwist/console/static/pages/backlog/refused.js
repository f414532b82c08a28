// @ts-check
/** The events that a bot has refused so often that they were left out: look, deliver again, drop. */

import { del, get, post } from "../../core/api.js";
import { bytes, number } from "../../core/format.js";
import { errorText, hasWords, t } from "../../core/i18n.js";
import { Bar, Button, Confirm, Dialog, Empty, html, Icon, Json, Peer, Problem, Select, Status, Time, useEffect, useState } from "../../core/ui.js";

const AT_ONCE = 100;
/** The looks of what came of delivering again. */
const LOOKS = { confirmed: "good", sent: "partly", refused: "bad", gone: "idle", not_connected: "warning" };

/** @param {string} type */
function typeText(type) {
    const key = `overview.event.${type}`;
    return hasWords(key) ? t(key) : type || t("backlog.no_type");
}

/** The event as JSON, as far as there is one. @param {{event: any, onClose: () => void}} props */
function Look({ event, onClose }) {
    const [answer, setAnswer] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    useEffect(() => {
        get(`refused/${event.id}`).then(setAnswer, setError);
    }, []);
    const shown = answer && answer.event;
    const begin = shown && typeof shown.begin === "string" && Object.keys(shown).length === 1 ? shown.begin : null;
    return html`<${Dialog} wide title=${t("backlog.event")} onClose=${onClose} actions=${html`<${Button} onClick=${onClose}>${t("ui.close")}<//>`}>
        <div class="stack"><p class="row"><${Peer} inline text=${event.bot} /><span class="mono muted">${event.account}</span><span class="muted small">${t("backlog.position", { n: number(event.position) })}</span></p>
            <div class="reason warning"><${Icon} name="warning" /><${Peer} text=${event.reason || t("backlog.no_reason")} lines=${5} /></div>
            ${!answer && !error && html`<p role="status" class="muted">${t("backlog.loading")}</p>`}
            ${error && html`<${Problem} error=${error} text=${error.code === "gone" ? t("backlog.gone") : errorText(error)} />`}
            ${answer && !answer.complete && html`<${Bar} kind="warning">${t(begin === null ? "backlog.not_in_journal" : "backlog.incomplete")}<//>`}
            ${answer && answer.complete && begin !== null && html`<${Bar} kind="info">${t("backlog.too_large")}<//>`}
            ${begin !== null ? html`<div class="event-text mono"><${Peer} text=${begin} lines=${20} /></div>`
                : shown !== null && shown !== undefined && html`<${Json} value=${shown} openDepth=${3} label="JSON" />`}
        </div><//>`;
}

/** What came of delivering again. @param {{outcome: any}} props */
function Outcome({ outcome }) {
    if (outcome.error) return html`<${Problem} error=${outcome.error} text=${errorText(outcome.error)} />`;
    const { outcome: what, reason } = outcome;
    return html`<div class="outcome"><${Status} state=${LOOKS[what] || "idle"}>${t(`backlog.outcome.${what}`)}<//>
        ${reason && what === "refused" ? html`<${Peer} class="small" text=${reason} lines=${2} />` : html`<span class="muted small">${t(`backlog.outcome_hint.${what}`)}</span>`}
        ${reason && what !== "refused" && html`<${Peer} class="muted small" text=${reason} lines=${2} />`}</div>`;
}

/** @param {{event: any, outcome: any, act: any}} props */
function Entry({ event, outcome, act }) {
    const args = { type: typeText(event.post_type), bot: event.bot };
    return html`<li class="refused-event">
        <div class="refused-what"><span class="chip">${typeText(event.post_type)}</span><b><${Peer} inline text=${event.bot} /></b><span class="mono muted">${event.account}</span>
            <span class="muted small"><${Time} at=${event.time} /></span><span class="muted small numbers">${bytes(event.size)}</span></div>
        <div class="refused-why"><${Peer} text=${event.reason || t("backlog.no_reason")} lines=${2} /><span class="muted small">${t("backlog.given_up")} <${Time} at=${event.skipped} /></span></div>
        <div class="refused-outcome" aria-live="polite">${outcome && html`<${Outcome} outcome=${outcome} />`}</div>
        <div class="row refused-buttons"><${Button} icon="search" label=${t("backlog.look_of", args)} onClick=${() => act.look(event)}>${t("backlog.look")}<//>
            <${Button} icon="send" label=${t("backlog.again_of", args)} onClick=${() => act.again(event)}>${t("backlog.again")}<//>
            <${Button} kind="quiet" icon="trash" label=${t("backlog.drop_of", args)} onClick=${() => act.drop(event)} /></div>
    </li>`;
}

/** @param {{list: any[], more: boolean, load: () => Promise<any>}} props */
export function Refused({ list, more, load }) {
    const [looking, setLooking] = useState(/** @type {any} */ (null));
    const [dropping, setDropping] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    const [bot, setBot] = useState("");
    const [limit, setLimit] = useState(AT_ONCE);
    // What came of delivering again, by the event's id.
    const [outcomes, setOutcomes] = useState(/** @type {Record<string, any>} */ ({}));
    const told = (id, value) => setOutcomes((all) => ({ ...all, [id]: value }));
    const bots = [...new Set(list.map((event) => event.bot))].sort();
    const chosen = bots.includes(bot) ? bot : "";
    const shown = chosen ? list.filter((event) => event.bot === chosen) : list;
    const act = {
        look: setLooking,
        drop: setDropping,
        again: async (event) => {
            try {
                told(event.id, await post(`refused/${event.id}`));
            } catch (failure) {
                told(event.id, /** @type {any} */ (failure).code === "gone" ? { outcome: "gone" } : { error: failure });
            }
            await load();
        },
    };
    const drop = async () => {
        setError(null);
        try {
            await del(dropping === "all" ? "refused" : `refused/${dropping.id}`);
        } catch (failure) {
            // Somebody else has dropped it.
            if (/** @type {any} */ (failure).code !== "gone") setError(failure);
        }
        await load();
    };
    return html`<section class="section" aria-labelledby="refused-title">
        <header><h2 id="refused-title">${t("backlog.refused")}</h2>${list.length > 0 && html`<span class="chip warning numbers">${t(more ? "backlog.count_more" : "backlog.count", { n: number(list.length) })}</span>`}<span class="grow"></span>
            ${list.length > 0 && html`<${Button} icon="trash" onClick=${() => setDropping("all")}>${t("backlog.drop_all")}<//>`}</header>
        ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}
        ${list.length > 0 ? html`<div class="row spread"><p class="muted small">${t("backlog.refused_hint")}</p>
            ${bots.length > 1 && html`<${Select} class="of-bot" label=${t("overview.bot")} value=${chosen} options=${[["", t("backlog.all_bots")], ...bots.map((name) => [name, name.slice(0, 60)])]} onChange=${setBot} />`}</div>
            <ul class="card refused-list">${shown.slice(0, limit).map((event) => html`<${Entry} key=${event.id} event=${event} outcome=${outcomes[event.id]} act=${act} />`)}</ul>
            ${shown.length > limit && html`<div><${Button} onClick=${() => setLimit(limit + AT_ONCE)}>${t("ui.more_items", { n: number(shown.length - limit) })}<//></div>`}
            ${more && html`<p class="muted small">${t("backlog.refused_more", { n: number(list.length) })}</p>`}`
        : html`<div class="card"><${Empty} icon="check" title=${t("backlog.none_refused")}><p class="what-for">${t("backlog.refused_what_for")}</p><//></div>`}
        ${looking && html`<${Look} event=${looking} onClose=${() => setLooking(null)} />`}
        ${dropping && html`<${Confirm} title=${t(dropping === "all" ? "backlog.drop_all_title" : "backlog.drop_title")} action=${t(dropping === "all" ? "backlog.drop_all_yes" : "backlog.drop_yes")}
            onYes=${drop} onClose=${() => setDropping(null)}><p>${dropping === "all" ? t("backlog.drop_all_ask", { n: number(list.length) })
        : html`<bdi class="peer">${t("backlog.drop_ask", { type: typeText(dropping.post_type), bot: dropping.bot, account: dropping.account })}</bdi>`}</p><//>`}
    </section>`;
}
