// @ts-check
/** The overview: every account and bot with its state, who was refused lately, and how to begin. */

import { get } from "../core/api.js";
import { bytes, dateTime, duration, now, number, percent, perSecond, serverTime } from "../core/format.js";
import { errorText, hasWords, reasonText, t } from "../core/i18n.js";
import { subscribe } from "../core/stream.js";
import {
    Bar, Button, Check, classes, Code, Empty, Field, html, Icon, Peer, Problem, signal, Status, Tabs, Time,
    useComputed, useEffect, useMemo, useState,
} from "../core/ui.js";
import { Add } from "./overview/add.js";

/** The state as the server tells it, null before the first. */
const state = signal(/** @type {any} */ (null));

/** Seconds of the sparklines, and how far apart two samples may be. */
const SPAN = 60;
const LARGEST_GAP = 5;

/** With more cards than this there is a search field. */
const MANY = 8;

/** @param {any[]} old @param {any[]} changed @param {string} key */
function merged(old, changed, key) {
    if (!changed || !changed.length) return old;
    const by = new Map(changed.map((card) => [card[key], card]));
    const known = new Set(old.map((card) => card[key]));
    return old.map((card) => by.get(card[key]) || card).concat(changed.filter((card) => !known.has(card[key])));
}

/** @param {any} change */
function apply(change) {
    const old = state.peek();
    if (!old) return;
    state.value = {
        ...old,
        summary: change.summary || old.summary,
        accounts: merged(old.accounts, change.accounts, "account"),
        bots: merged(old.bots, change.bots, "bot"),
        refused: change.refused || old.refused,
        warnings: change.warnings || old.warnings,
    };
}

// ---- rates --------------------------------------------------------------------------------------------------------

/** Samples of the counters, by what they count: [time, count]. @type {Map<string, Array<[number, number]>>} */
const samples = new Map();
/** Counts the samples taken, so that sparklines are drawn anew. */
const sampled = signal(0);

function sample() {
    const current = state.peek();
    if (!current) return;
    const at = performance.now() / 1000;
    const seen = new Set();
    const take = (name, count) => {
        seen.add(name);
        let list = samples.get(name);
        const last = list && list[list.length - 1];
        // Another start of the service, a browser that slept: begin anew.
        if (!list || (last && (count < last[1] || at - last[0] > LARGEST_GAP))) samples.set(name, list = []);
        list.push([at, count]);
        while (list.length > SPAN + 1) list.shift();
    };
    take("all", current.summary.events);
    for (const card of current.accounts) take(`account ${card.account}`, card.events);
    for (const card of current.bots) {
        take(`events ${card.bot}`, card.counters.events);
        take(`actions ${card.bot}`, card.counters.actions);
    }
    for (const name of samples.keys()) if (!seen.has(name)) samples.delete(name);
    sampled.value += 1;
}

/** The rates between the samples, per second; the oldest first. @param {string} name */
function ratesOf(name) {
    const list = samples.get(name) || [];
    return list.slice(1).map(([at, count], index) => (count - list[index][1]) / Math.max(at - list[index][0], 0.001));
}

/** The mean rate over the last seconds; null before there are two samples. @param {string} name @param {number} seconds */
function meanRate(name, seconds) {
    const list = (samples.get(name) || []).slice(-seconds - 1);
    if (list.length < 2) return null;
    const [first, last] = [list[0], list[list.length - 1]];
    return (last[1] - first[1]) / Math.max(last[0] - first[0], 0.001);
}

/** A rate with the last minute as a line. @param {{name: string, label: string}} props */
function Rate({ name, label }) {
    if (sampled.value < 0) return null; // reads the signal
    const rates = ratesOf(name);
    const most = Math.max(...rates, 1);
    const width = 100;
    const height = 28;
    const points = rates.map((rate, index) => {
        const x = width - ((rates.length - 1 - index) * width) / (SPAN - 1);
        return `${x.toFixed(1)},${(height - 2 - (rate / most) * (height - 4)).toFixed(1)}`;
    });
    const mean = meanRate(name, 5);
    return html`<div class="rate">
        <span class="rate-number"><b class="numbers">${mean === null ? "–" : perSecond(mean)}</b> <span class="muted small">${label}</span></span>
        <svg class="spark" viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img"
            aria-label=${t("overview.spark", { label, most: perSecond(rates.length ? Math.max(...rates) : 0) })}>
            <path class="spark-base" d=${`M0 ${height - 2}H${width}`} />
            ${points.length > 1 && html`<polyline points=${points.join(" ")} />`}</svg>
    </div>`;
}

/** Events per minute over what there is of the last minute. */
function EventsPerMinute() {
    if (sampled.value < 0) return null; // reads the signal
    const mean = meanRate("all", SPAN);
    return html`${mean === null ? "–" : number(mean * 60)}`;
}

// ---- parts --------------------------------------------------------------------------------------------------------

/** @param {{label: any, children?: any, tone?: string, title?: string}} props */
function Figure({ label, children, tone, title }) {
    return html`<div class=${classes("figure", tone)} title=${title}><dt>${label}</dt><dd class="numbers">${children}</dd></div>`;
}

/** @param {{current: any}} props */
function Strip({ current }) {
    const { summary } = current;
    const share = (up, all) => (up < all ? "warning" : "");
    const uptime = useComputed(() => duration(now.value - current.started));
    return html`<dl class="strip card" aria-label=${t("overview.summary")}>
        <${Figure} label=${t("overview.accounts")} tone=${share(summary.accounts_up, summary.accounts)}><b>${number(summary.accounts_up)}</b><span class="muted"> / ${number(summary.accounts)}</span><//>
        <${Figure} label=${t("overview.bots")} tone=${share(summary.bots_connected, summary.bots)}><b>${number(summary.bots_connected)}</b><span class="muted"> / ${number(summary.bots)}</span><//>
        <${Figure} label=${t("overview.events_per_minute")}><b><${EventsPerMinute} /></b><//>
        <${Figure} label=${t("overview.lag")} tone=${summary.lag > 0.2 ? "warning" : ""} title=${t("overview.lag_hint")}>${number(summary.lag * 1000)} ms<//>
        <${Figure} label=${t("overview.memory")}>${bytes(summary.memory)}<//>
        <${Figure} label=${t("overview.journal")}>${summary.journal_size === null ? t("overview.none") : bytes(summary.journal_size)}<//>
        <${Figure} label=${t("overview.uptime")} title=${dateTime(current.started)}>${uptime}<//>
        <${Figure} label=${t("overview.version")}>${current.version}<//>
    </dl>`;
}

/** A kind of connection in words. @param {string} kind @param {string} whose "account" | "bot" */
function kindText(kind, whose) {
    const key = `overview.kind.${whose}.${kind}`;
    return hasWords(key) ? t(key) : kind;
}

/** A reason in the reader's words; what the peer said stays in its box. @param {{reason: any, tone?: string}} props */
function Reason({ reason, tone = "bad" }) {
    if (!reason) return null;
    return html`<div class=${classes("reason", tone)}><${Icon} name="warning" /><${Peer} text=${reasonText(reason)} lines=${3} /></div>`;
}

/** What counts down to the next attempt. @param {{at: number}} props */
function Countdown({ at }) {
    const seconds = useComputed(() => Math.max(0, Math.ceil(at - now.value)));
    return html`${seconds.value > 0 ? t("overview.next_in", { span: duration(seconds.value) }) : t("overview.next_now")}`;
}

/** @param {{dial: any, showAccount?: boolean}} props */
function Dial({ dial, showAccount }) {
    // A bot is dialled from when its account is up first.
    const awaits = showAccount && !dial.connected && !dial.attempts;
    return html`<li class="line">
        <div class="line-head"><${Status} state=${dial.connected ? "up" : awaits ? "idle" : "down"}>${t(dial.connected ? "overview.dial_connected" : awaits ? "overview.waits_for_account" : "overview.dial_trying")}<//>
            ${showAccount && dial.account !== undefined && html`<span class="chip mono">${dial.account}</span>`}
            <bdi class="peer mono grow">${dial.target}</bdi></div>
        ${!dial.connected && !awaits && html`<p class="small muted" role="timer">${dial.next_attempt_at ? html`<${Countdown} at=${dial.next_attempt_at} />` : t("overview.dialling")}
            ${` · ${t("overview.attempts", { n: dial.attempts })}`}</p><${Reason} reason=${dial.last_reason} tone="warning" />`}
    </li>`;
}

/** A list that opens on demand. @param {{title: any, open?: boolean, children?: any}} props */
function More({ title, open, children }) {
    return html`<details class="more" open=${open}><summary><${Icon} name="right" />${title}</summary><ul class="lines">${children}</ul></details>`;
}

/** How many of a list the server left out. @param {{shown: any[], count?: number}} props */
function LeftOut({ shown, count }) {
    return count !== undefined && count > shown.length ? html`<li class="small muted">${t("overview.left_out", { n: count - shown.length })}</li>` : null;
}

/** @param {{label: any, children?: any, tone?: string}} props */
function Fact({ label, children, tone }) {
    return html`<div class=${classes("fact", tone)}><dt>${label}</dt><dd>${children}</dd></div>`;
}

/** How something ended last. @param {{ended: any}} props */
function Ended({ ended }) {
    if (!ended) return null;
    const reason = typeof ended.reason === "string" ? { sentence: ended.reason } : ended.reason;
    return html`<div class="ended"><p class="small muted"><span>${t("overview.ended_at")} <${Time} at=${ended.time} /></span>
        ${typeof ended.lasted === "number" && html`<span> · ${t("overview.ended_lasted", { span: duration(ended.lasted) })}</span>`}
        ${ended.code && html`<span> · ${t("overview.close_code", { code: ended.code })}</span>`}</p>
        <${Peer} class="small" text=${reasonText(reason)} lines=${3} /></div>`;
}

/** Whether something has only not connected yet, to where it is to connect by itself: no reason to worry. @param {any} card */
function isAwaited(card) {
    if (card.state !== "down" || card.last_ended || (card.dials || []).length || (card.postings || []).length) return false;
    return card.bot !== undefined ? card.connection === "forward-websocket" : card.type === "reverse-websocket";
}

/** @param {{card: any}} props */
function CardStatus({ card }) {
    return isAwaited(card) ? html`<${Status} state="idle">${t("overview.awaited")}<//>` : html`<${Status} state=${card.state} />`;
}

/** @param {any} event */
function eventText(event) {
    const key = `overview.event.${event.post_type}`;
    const kind = hasWords(key) ? t(key) : event.post_type;
    return event.detail && event.detail !== "heartbeat" ? `${kind} · ${event.detail}` : kind;
}

/** @param {{card: any, alone: boolean}} props whether it is the only sandbox */
function AccountCard({ card, alone }) {
    const away = card.state !== "up";
    const app = [card.app, card.app_version].filter(Boolean).join(" ");
    const dials = card.dials || [];
    const links = card.links || [];
    const waits = dials.some((dial) => !dial.connected);
    return html`<article class=${classes("card", "link-card", isAwaited(card) ? "awaited" : card.state)} aria-label=${`${t("overview.account")} ${card.account}`}>
        <header><div class="card-title"><h3><${Peer} inline text=${card.name || String(card.account)} /></h3>
                ${card.name && html`<span class="mono muted">${card.account}</span>`}</div>
            <${CardStatus} card=${card} /></header>
        <p class="chips"><span class="chip">${kindText(card.type, "account")}</span>${app && html`<span class="chip"><${Peer} inline text=${app} /></span>`}</p>
        ${away && !isAwaited(card) && html`<${Reason} reason=${card.reason} tone=${card.state === "offline" ? "warning" : "bad"} />`}
        <${Reason} reason=${card.journal_paused} tone="warning" />
        <${Rate} name=${`account ${card.account}`} label=${t("overview.events")} />
        <dl class="facts">
            <${Fact} label=${t(away ? "overview.since_down" : "overview.since_up")}><${Time} at=${card.since} /><//>
            <${Fact} label=${t("overview.last_event")}>${card.last_event ? html`<${Time} at=${card.last_event.time} /><${Peer} class="muted small" inline text=${eventText(card.last_event)} />` : t("overview.never")}<//>
            <${Fact} label=${t("overview.events_total")}>${number(card.events)}<//>
            <${Fact} label=${t("overview.calls")}>${number(card.calls)}${card.in_flight > 0 && html`<span class="muted small">${t("overview.in_flight", { n: number(card.in_flight) })}</span>`}<//>
            <${Fact} label=${t("overview.failed")} tone=${card.failed > 0 ? "warning" : ""}>${card.calls ? percent(card.failed / card.calls) : "–"}${card.failed > 0 && html`<span class="muted small">${number(card.failed)}</span>`}<//>
        </dl>
        ${isAwaited(card) && html`<p class="muted small">${t("overview.never_connected")}</p>`}
        ${waits && html`<ul class="lines">${dials.map((dial) => html`<${Dial} dial=${dial} />`)}</ul>`}
        ${!links.length && card.last_ended && html`<${Ended} ended=${card.last_ended} />`}
        ${(links.length > 0 || (dials.length > 0 && !waits)) && html`<${More} title=${t("overview.connections", { n: number(links.length || dials.length) })}>
            ${links.map((link) => html`<li class="line"><div class="line-head"><span class="chip">${t(hasWords(`overview.channel.${link.channel}`) ? `overview.channel.${link.channel}` : "overview.channel.both")}</span>
                <bdi class="peer mono grow">${link.via || t("overview.via_unknown")}</bdi></div><p class="small muted">${t("overview.since")} <${Time} at=${link.since} /></p></li>`)}
            ${!links.length && dials.map((dial) => html`<${Dial} dial=${dial} />`)}
            ${card.last_ended && html`<li class="line"><${Ended} ended=${card.last_ended} /></li>`}<//>`}
        ${card.type === "sandbox" && html`<a class="button wide" href=${alone ? "#/sandbox" : `#/sandbox/${card.account}`}><${Icon} name="chat" /><span>${t("overview.talk")}</span></a>`}
    </article>`;
}

/** @param {{card: any}} props */
function BotCard({ card }) {
    const sessions = card.sessions || [];
    const dials = card.dials || [];
    const postings = card.postings || [];
    const deliveries = card.deliveries || [];
    const { counters } = card;
    const accounts = card.accounts === null || card.accounts === undefined ? t("overview.all_accounts") : card.accounts.join(", ") || t("overview.none");
    const waits = dials.filter((dial) => !dial.connected);
    return html`<article class=${classes("card", "link-card", isAwaited(card) ? "awaited" : card.state)} aria-label=${`${t("overview.bot")} ${card.bot}`}>
        <header><div class="card-title"><h3><${Peer} inline text=${card.bot} /></h3></div><${CardStatus} card=${card} /></header>
        <p class="chips"><span class="chip">${kindText(card.connection, "bot")}</span>
            ${card.delivery === "at-least-once" && html`<span class="chip accent">${t("overview.at_least_once")}</span>`}
            <span class="chip"><${Peer} inline text=${`${t("overview.accounts")}: ${accounts}`} /></span></p>
        <div class="rates"><${Rate} name=${`events ${card.bot}`} label=${t("overview.events")} /><${Rate} name=${`actions ${card.bot}`} label=${t("overview.actions")} /></div>
        <dl class="facts">
            <${Fact} label=${t("overview.sessions")}>${number(card.sessions_count === undefined ? sessions.length : card.sessions_count)}<//>
            <${Fact} label=${t("overview.events_total")}>${number(counters.events)}<//>
            <${Fact} label=${t("overview.actions_total")}>${number(counters.actions)}<//>
            <${Fact} label=${t("overview.forbidden")} tone=${counters.forbidden ? "warning" : ""}>${number(counters.forbidden)}<//>
            <${Fact} label=${t("overview.rate_limited")} tone=${counters.refused ? "warning" : ""}>${number(counters.refused)}<//>
            <${Fact} label=${t("overview.dropped")} tone=${counters.dropped ? "warning" : ""}>${number(counters.dropped)}<//>
        </dl>
        ${deliveries.length > 0 && html`<ul class="lines">${deliveries.map((one) => html`<${DeliveryLine} one=${one} />`)}<${LeftOut} shown=${deliveries} count=${card.deliveries_count} /></ul>`}
        ${waits.length > 0 && html`<ul class="lines">${waits.map((dial) => html`<${Dial} dial=${dial} showAccount />`)}<${LeftOut} shown=${dials} count=${card.dials_count} /></ul>`}
        ${postings.length > 0 && html`<ul class="lines">${postings.map((one) => html`<${PostingLine} one=${one} />`)}<${LeftOut} shown=${postings} count=${card.postings_count} /></ul>`}
        ${isAwaited(card) && html`<p class="muted small">${t("overview.never_connected")}</p>`}
        ${!sessions.length && card.last_ended && html`<${Ended} ended=${card.last_ended} />`}
        ${sessions.length > 0 && html`<${More} title=${t("overview.connections", { n: number(card.sessions_count === undefined ? sessions.length : card.sessions_count) })}>
            ${sessions.map((one) => html`<li class="line"><div class="line-head"><span class="chip">${one.role}</span>${one.account !== undefined && html`<span class="chip mono">${one.account}</span>`}
                <bdi class="peer mono grow">${one.address}</bdi></div>
                ${one.user_agent && html`<${Peer} class="small muted" text=${one.user_agent} lines=${2} />`}<p class="small muted">${t("overview.since")} <${Time} at=${one.since} /></p></li>`)}
            <${LeftOut} shown=${sessions} count=${card.sessions_count} />
            ${card.last_ended && html`<li class="line"><${Ended} ended=${card.last_ended} /></li>`}<//>`}
    </article>`;
}

/** Of events that are delivered at least once. @param {{one: any}} props */
function DeliveryLine({ one }) {
    return html`<li class="line"><div class="line-head"><span class="chip mono">${one.account}</span>
        <span class=${one.backlog > 0 ? "tone-warning" : ""}>${t("overview.backlog", { n: number(one.backlog) })}</span>
        <span class="muted small">${t("overview.unconfirmed", { n: number(one.unconfirmed) })}</span>
        ${one.silent && html`<span class="chip warning">${t("overview.silent")}</span>`}</div>
        ${one.backlog > 0 && one.cursor_since && html`<p class="small muted">${t("overview.confirmed_last")} <${Time} at=${one.cursor_since} /></p>`}
        ${one.backlog > 0 && !one.cursor_since && one.cursor_age !== undefined && one.cursor_age !== null && html`<p class="small muted">${t("overview.cursor_age", { span: duration(one.cursor_age) })}</p>`}</li>`;
}

/** Of events that are posted. @param {{one: any}} props */
function PostingLine({ one }) {
    const look = !one.running ? "idle" : one.failures ? "warning" : "good";
    const word = !one.running ? "overview.waits_for_account" : one.failures ? "overview.post_fails" : "overview.post_taken";
    const reason = one.last_failure && (typeof one.last_failure.reason === "string" ? { sentence: one.last_failure.reason } : one.last_failure.reason);
    return html`<li class="line"><div class="line-head"><${Status} state=${look}>${t(word, { n: one.failures })}<//><span class="chip mono">${one.account}</span>
        <bdi class="peer mono grow">${one.target}</bdi></div>
        ${one.paused_until && html`<p class="small muted" role="timer"><${Countdown} at=${one.paused_until} /></p>`}
        ${one.failures > 0 && html`<${Reason} reason=${reason} tone="warning" />`}</li>`;
}

/** Who was refused, and the block that lets them in. @param {{list: any[]}} props */
function Refused({ list }) {
    const [all, setAll] = useState(false);
    const shown = all ? list : list.slice(0, 6);
    return html`<section class="section" aria-labelledby="refused-title">
        <header><h2 id="refused-title">${t("overview.refused")}</h2><span class="muted small">${t("overview.refused_hint")}</span></header>
        <div class="cards">${shown.map((one) => html`<${RefusedCard} key=${`${one.address} ${one.account} ${one.bot} ${one.reason} ${one.status}`} one=${one} />`)}</div>
        ${list.length > shown.length && html`<div><${Button} onClick=${() => setAll(true)}>${t("ui.more_items", { n: list.length - shown.length })}<//></div>`}
    </section>`;
}

/** @param {{one: any}} props */
function RefusedCard({ one }) {
    const title = one.account !== null && one.account !== undefined ? t("overview.refused_account", { account: one.account })
        : one.bot ? t("overview.refused_bot", { bot: one.bot }) : t("overview.refused_peer");
    const help = `refused.${one.reason}`;
    const explained = one.explained || { sentence: one.sentence };
    return html`<article class="card refused-card" aria-label=${title}>
        <header><div class="card-title"><h3><${Peer} inline text=${title} /></h3><bdi class="peer mono muted">${one.address}</bdi></div>
            <${Status} state="bad">${t("overview.refused_times", { n: one.times })}<//></header>
        <${Peer} text=${reasonText(explained)} lines=${3} />
        ${hasWords(help) && html`<p class="muted small">${t(help)}</p>`}
        <p class="small muted">${t("overview.refused_last")} <${Time} at=${one.last} />${one.times > 1 && html`<span> · ${t("overview.refused_first")} <${Time} at=${one.first} /></span>`}</p>
        ${one.block && html`<p class="small">${t("overview.refused_block")}</p><${Code} text=${one.block} label="lgtwist.toml" /><${Add} block=${one.block} current=${state.value} />`}
    </article>`;
}

// ---- how to begin -------------------------------------------------------------------------------------------------

/** The URL of the port as this browser's reader would write it. @param {string[]} urls */
function urlFor(urls) {
    const url = (urls || []).find((each) => /^wss?:/.test(each)) || `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
    // An address that listens on all interfaces is none that one can connect to.
    return url.replace(/^(wss?:\/\/)(0\.0\.0\.0|\[::\])(?=[:/]|$)/, `$1${location.hostname}`);
}

/** @param {{urls: string[]}} props */
function Attach({ urls }) {
    const [tab, setTab] = useState("nonebot");
    const url = urlFor(urls);
    const env = `DRIVER=~websockets\nONEBOT_WS_URLS=["${url}/"]\n# ONEBOT_ACCESS_TOKEN=...\n`;
    return html`<${Tabs} label=${t("overview.attach")} value=${tab} onChange=${setTab} tabs=${[["nonebot", "NoneBot2"], ["forward", t("overview.attach_forward")], ["account", t("overview.attach_account")]]}>
        ${tab === "nonebot" && html`<div class="stack"><p>${t("overview.attach_nonebot")}</p><${Code} text=${env} label=".env" />
            <p class="muted small">${t("overview.attach_nonebot_more")}</p></div>`}
        ${tab === "forward" && html`<div class="stack"><p>${t("overview.attach_forward_text")}</p><${Code} text=${`${url}/`} label=${t("overview.attach_forward")} />
            <p class="muted small">${t("overview.attach_forward_more")}</p></div>`}
        ${tab === "account" && html`<div class="stack"><p>${t("overview.attach_account_text")}</p><${Code} text=${`${url}/onebot/v11/ws`} label=${t("overview.attach_account")} />
            <p class="muted small">${t("overview.attach_account_more")}</p></div>`}
    <//>`;
}

/** What to do first, while no bot is connected. @param {{current: any}} props */
function Begin({ current }) {
    const sandbox = current.accounts.some((card) => card.type === "sandbox");
    return html`<section class="begin" aria-labelledby="begin-title">
        <h2 id="begin-title">${t("overview.begin")}</h2>
        <ol class="steps">
            <li class="card step"><h3><span class="step-number" aria-hidden="true">1</span>${t("overview.begin_attach")}</h3><${Attach} urls=${current.urls} /></li>
            <li class="card step"><h3><span class="step-number" aria-hidden="true">2</span>${t("overview.begin_talk")}</h3>
                <p>${t(sandbox ? "overview.begin_talk_text" : "overview.begin_no_sandbox")}</p>
                ${sandbox && html`<a class="button primary" href="#/sandbox"><${Icon} name="chat" /><span>${t("overview.talk")}</span></a>`}</li>
            <li class="card step"><h3><span class="step-number" aria-hidden="true">3</span>${t("overview.begin_watch")}</h3>
                <p>${t("overview.begin_watch_text")}</p>
                <a class="button" href="#/traffic"><${Icon} name="pulse" /><span>${t("frame.page.traffic")}</span></a></li>
        </ol>
    </section>`;
}

// ---- the page -----------------------------------------------------------------------------------------------------

/** Whether a card is among those that the reader looks for. @param {any} card @param {string} text @param {boolean} troubled */
function fits(card, text, troubled) {
    if (troubled && card.state === "up") return false;
    if (!text) return true;
    const words = [card.account, card.name, card.app, card.type, card.bot, card.connection].filter(Boolean).join(" ").toLowerCase();
    return words.includes(text.toLowerCase());
}

export default function Page() {
    const [error, setError] = useState(/** @type {any} */ (null));
    const [text, setText] = useState("");
    const [troubled, setTroubled] = useState(false);
    useEffect(() => {
        let alive = true;
        samples.clear();
        const take = (whole) => {
            if (!alive) return;
            state.value = whole;
            setError(null);
            sample();
        };
        // The stream brings it too; asked for besides, it is there at once, also where the stream is not.
        get("state").then((whole) => {
            if (!alive || state.peek()) return;
            serverTime(whole.now);
            take(whole);
        }, (failure) => alive && !state.peek() && setError(failure));
        const stop = subscribe({ topic: "links" }, { links: take, link: apply });
        const timer = setInterval(() => document.hidden || sample(), 1000);
        return () => {
            alive = false;
            stop();
            clearInterval(timer);
            state.value = null;
        };
    }, []);
    const current = state.value;
    const accounts = useMemo(() => (current ? current.accounts.filter((card) => fits(card, text, troubled)) : []), [current, text, troubled]);
    const bots = useMemo(() => (current ? current.bots.filter((card) => fits(card, text, troubled)) : []), [current, text, troubled]);
    if (!current) {
        return html`<h1 class="hidden">${t("overview.title")}</h1>${error ? html`<${Problem} error=${error} text=${errorText(error)} />` : html`<p class="muted loading" role="status">${t("overview.loading")}</p>`}`;
    }
    const sandboxes = current.accounts.filter((card) => card.type === "sandbox").length;
    const many = current.accounts.length + current.bots.length > MANY;
    const none = current.summary.bots_connected === 0;
    // Who has a bot that fails is not at the beginning: its card says what is wrong.
    const begins = none && current.bots.every(isAwaited);
    return html`<h1 class="hidden">${t("overview.title")}</h1>
        <${Strip} current=${current} />
        ${current.warnings.length > 0 && html`<div class="stack warnings">${current.warnings.map((warning) => html`<${Bar} kind="warning"><${Peer} text=${reasonText(warning)} /><//>`)}</div>`}
        ${begins && html`<${Begin} current=${current} />`}
        ${current.refused.length > 0 && none && html`<${Refused} list=${current.refused} />`}
        ${many && html`<div class="row find"><${Field} class="grow" label=${t("overview.find")} type="search" value=${text} onInput=${(event) => setText(event.currentTarget.value)} />
            <${Check} label=${t("overview.only_troubled")} checked=${troubled} onChange=${setTroubled} /></div>`}
        <section class="section" aria-labelledby="accounts-title">
            <header><h2 id="accounts-title">${t("overview.accounts")}</h2><span class="muted small">${t("overview.up_of", { up: current.summary.accounts_up, n: current.summary.accounts })}</span></header>
            <div class="cards">${accounts.map((card) => html`<${AccountCard} key=${card.account} card=${card} alone=${sandboxes === 1} />`)}</div>
            ${!accounts.length && html`<${Empty} title=${t(current.accounts.length ? "overview.none_fits" : "overview.no_accounts")} />`}
            ${current.summary.accounts > current.accounts.length && html`<p class="muted small">${t("overview.left_out", { n: current.summary.accounts - current.accounts.length })}</p>`}
        </section>
        ${(current.bots.length > 0 || !begins) && html`<section class="section" aria-labelledby="bots-title">
            <header><h2 id="bots-title">${t("overview.bots")}</h2><span class="muted small">${t("overview.up_of", { up: current.summary.bots_connected, n: current.summary.bots })}</span></header>
            <div class="cards">${bots.map((card) => html`<${BotCard} key=${card.bot} card=${card} />`)}</div>
            ${!bots.length && html`<${Empty} icon="plug" title=${t(current.bots.length ? "overview.none_fits" : "overview.no_bots")} />`}
            ${current.summary.bots > current.bots.length && html`<p class="muted small">${t("overview.left_out", { n: current.summary.bots - current.bots.length })}</p>`}
        </section>`}
        ${current.refused.length > 0 && !none && html`<${Refused} list=${current.refused} />`}
        ${!begins && html`<details class="card attach-more"><summary><${Icon} name="plug" /><span>${t("overview.attach")}</span></summary><${Attach} urls=${current.urls} /></details>`}`;
}
