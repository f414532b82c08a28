// @ts-check
/** Alerts: what is wrong now, who is told and when, a test of each, and the last messages with their answers. */

import { get, post } from "../core/api.js";
import { errorText, hasWords, reasonText, t } from "../core/i18n.js";
import { duration, number } from "../core/format.js";
import { subscribe } from "../core/stream.js";
import { Button, Code, Empty, html, IconText, Peer, Problem, Select, Status, Time, useEffect, useState } from "../core/ui.js";
import { ALERT_KINDS } from "./configuration/fields.js";
import { setDraft, wantedAlert } from "./configuration/state.js";

/** @typedef {{index: number, kind: string, host: string, accounts: number[] | null, bots: string[] | null, on: string[], after: number, backlog: number, waiting: number}} AlertEntry */

/** Go to the form of a new entry. @param {string} kind */
function add(kind) {
    setDraft("alerts +", { written: { kind }, made: {} });
    location.hash = "#/configuration/alerts";
}

/** @param {any} entry */
const receiverText = (entry) => `${t(`alerts.kind.${entry.kind}`)} ${entry.host}`.trim();

/** The rules of an entry, a sentence each. @param {AlertEntry} entry */
function rulesOf(entry) {
    const list = (values) => values.join(", ");
    const args = {
        accounts: entry.accounts ? t("alerts.these_accounts", { list: list(entry.accounts) }) : t("alerts.all_accounts"),
        bots: entry.bots ? t("alerts.these_bots", { list: list(entry.bots) }) : t("alerts.all_bots"),
        after: duration(entry.after), n: number(entry.backlog),
    };
    const sentences = entry.on.map((rule) => reasonText({ code: rule, args }, "alerts.rule"));
    return sentences.length ? sentences.map((each) => each.charAt(0).toUpperCase() + each.slice(1)) : [t("alerts.rule.none")];
}

/** What the receiver said. @param {any} delivery */
function answerText(delivery) {
    const { status, answer } = delivery;
    if (!status || answer.includes(String(status))) return answer ? t("alerts.answer", { answer }) : "";
    return answer ? t("alerts.answer_status", { status, answer }) : t("alerts.status_only", { status });
}

/** What is wrong, in a sentence. @param {any} alarm */
function alarmText({ rule, subject, values }) {
    const counts = Object.fromEntries(["backlog", "events"].map((key) => [key, number(values[key] || 0)]));
    return reasonText({ code: rule, args: { subject, account: values.account, addresses: (values.addresses || []).join(", "), ...counts } }, "alerts.now");
}

/** The state of a delivery, by its shape and its word. @param {{delivery: any}} props */
function Outcome({ delivery }) {
    return html`<${Status} state=${delivery.accepted ? "good" : "bad"}>${t(delivery.accepted ? "alerts.accepted" : "alerts.refused")}<//>`;
}

/** @param {{entry: AlertEntry}} props */
function Entry({ entry }) {
    const [sending, setSending] = useState(false);
    const [sent, setSent] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    const n = entry.index + 1;
    const kind = t(`alerts.kind.${entry.kind}`);
    const test = async () => {
        setSending(true);
        setSent(null);
        setError(null);
        try {
            setSent(await post("alerts/test", { index: entry.index }));
        } catch (refusal) {
            setError(refusal);
        }
        setSending(false);
    };
    return html`<article class="card alert-entry" aria-labelledby=${`alert-entry-${entry.index}`}>
        <header class="row"><h3 id=${`alert-entry-${entry.index}`}>${kind}</h3><span class="muted small names"><bdi class="peer">${entry.host ? t("alerts.to", { n, host: entry.host }) : t("alerts.to_nowhere", { n })}</bdi></span></header>
        <ul class="alert-rules">${rulesOf(entry).map((sentence) => html`<li><bdi class="peer">${sentence}</bdi></li>`)}</ul>
        ${entry.waiting > 0 && html`<p class="small"><${IconText} icon="warning">${t("alerts.waiting", { n: entry.waiting })}<//></p>`}
        <div class="row"><${Button} icon="send" label=${t("alerts.test_of", { n, kind })} onClick=${test}>${t("alerts.test")}<//>
            <a class="button quiet" href="#/configuration/alerts" onClick=${() => { wantedAlert.value = entry.index; }} aria-label=${t("alerts.edit_of", { n })}>${t("alerts.edit")}</a></div>
        <div class="alert-outcome" role="status">${sending && html`<p class="muted">${t("alerts.testing")}</p>`}
            ${sent && html`<p class="outcome"><${Status} state=${sent.accepted ? "good" : "bad"}>${t(sent.accepted ? "alerts.test_ok" : "alerts.test_failed")}<//>
                <bdi class="peer">${answerText(sent)}</bdi></p>`}
            ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}</div></article>`;
}

/** What is wrong now. @param {{alarming: any[], entries: AlertEntry[]}} props */
function Alarming({ alarming, entries }) {
    return html`<section class="section" aria-labelledby="alerts-now"><header><h2 id="alerts-now">${t("alerts.now")}</h2></header>
        <div class="card alarming" aria-live="polite">${alarming.length === 0 ? html`<p><${Status} state="good">${t("alerts.now_none")}<//></p>` : html`<ul>${alarming.map((each) => {
            const told = each.entries.map((index) => entries[index]).filter(Boolean).map(receiverText).join(", ");
            return html`<li key=${`${each.rule} ${each.subject} ${each.values.account} ${each.values.cause}`}><${Status} state="bad"><bdi class="peer">${alarmText(each)}</bdi><//>
                <span class="muted small">${t("alerts.since")} <${Time} at=${each.since} /></span>
                ${each.reason && html`<${Peer} text=${reasonText(each.reason)} />`}
                ${each.rule === "lost" && each.subject && html`<${Peer} text=${each.subject} />`}
                ${hasWords(`alerts.cause.${each.values.cause}`) && html`<span>${t(`alerts.cause.${each.values.cause}`)}</span>`}
                ${told && html`<span class="muted small"><bdi class="peer">${t("alerts.now_told", { receivers: told })}</bdi></span>`}</li>`;
        })}</ul>`}</div></section>`;
}

/** The last messages. @param {{deliveries: any[]}} props */
function Deliveries({ deliveries }) {
    return html`<section class="section" aria-labelledby="alert-deliveries"><header><h2 id="alert-deliveries">${t("alerts.deliveries")}</h2><span class="muted small">${t("alerts.deliveries_hint")}</span></header>
        ${deliveries.length === 0 ? html`<p class="muted">${t("alerts.deliveries_none")}</p>` : html`<ol class="card alert-deliveries">${deliveries.map((each) => html`<li class="alert-delivery" key=${`${each.time} ${each.index} ${each.title}`}>
            <div class="row"><${Outcome} delivery=${each} /><${Time} at=${each.time} /><span class="muted small">${t(`alerts.kind.${each.kind}`)} · ${t("alerts.to_nowhere", { n: each.index + 1 })} · ${t("alerts.tries", { n: each.tries })}</span>
                ${each.test && html`<span class="chip">${t("alerts.is_test")}</span>`}</div>
            <b class="alert-title"><bdi class="peer">${each.title}</bdi></b>
            <${Peer} class="alert-text" text=${each.text} lines=${3} />
            ${answerText(each) && html`<p class="small muted"><bdi class="peer">${answerText(each)}</bdi></p>`}</li>`)}</ol>`}</section>`;
}

/** What is shown where no alerts are configured. */
function Begin() {
    const [kind, setKind] = useState(ALERT_KINDS[0]);
    return html`<div class="card"><${Empty} icon="bell" title=${t("alerts.none")}><p class="what-for">${t("alerts.what_for")}</p>
        <div class="alert-begin stack"><${Select} label=${t("alerts.kind")} value=${kind} options=${ALERT_KINDS.map((each) => [each, t(`alerts.kind.${each}`)])} onChange=${setKind} />
            <p class="small">${t(`alerts.how.${kind}`)}</p>
            <div><${Button} kind="primary" icon="plus" onClick=${() => add(kind)}>${t("alerts.add")}<//></div>
            <p class="muted small">${t("alerts.paste")}</p><${Code} text=${t(`alerts.block.${kind}`)} label="lgtwist.toml" /></div><//></div>`;
}

export default function Page() {
    const [state, setState] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    useEffect(() => {
        let alive = true;
        let heard = false;
        const take = (answer) => {
            if (!alive) return;
            setState(answer);
            setError(null);
        };
        // The stream says it too, and what it says is newer.
        get("alerts").then((answer) => { if (!heard) take(answer); }, (failure) => { if (alive && !heard) setError(failure); });
        const stop = subscribe({ topic: "alerts" }, {
            alerts: (answer) => {
                heard = true;
                take(answer);
            },
        });
        return () => {
            alive = false;
            stop();
        };
    }, []);
    const title = html`<div class="row spread page-title"><h1>${t("alerts.title")}</h1>${state && state.entries.length > 0 && html`<${Button} icon="plus" onClick=${() => add(ALERT_KINDS[0])}>${t("alerts.add")}<//>`}</div>`;
    if (!state) return html`${title}${error ? html`<${Problem} error=${error} text=${errorText(error)} />` : html`<p role="status" class="muted loading">${t("alerts.loading")}</p>`}`;
    const { entries, alarming, deliveries } = state;
    if (!entries.length) return html`${title}<${Begin} />${deliveries.length > 0 && html`<${Deliveries} deliveries=${deliveries} />`}`;
    return html`${title}<${Alarming} alarming=${alarming} entries=${entries} />
        <section class="section" aria-labelledby="alert-receivers"><header><h2 id="alert-receivers">${t("alerts.receivers")}</h2></header>
            <div class="alert-entries">${entries.map((entry) => html`<${Entry} key=${`${entry.index} ${entry.kind} ${entry.host}`} entry=${entry} />`)}</div></section>
        <${Deliveries} deliveries=${deliveries} />`;
}
