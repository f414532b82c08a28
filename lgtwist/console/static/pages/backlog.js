// @ts-check
/** The backlog of bots that get their events at least once, and the events that they have refused. */

import { get, post } from "../core/api.js";
import { editConfiguration } from "../core/configuration.js";
import { errorText, hasWords, t } from "../core/i18n.js";
import { duration, number } from "../core/format.js";
import { subscribe } from "../core/stream.js";
import { Bar, Button, classes, Dialog, Empty, Field, html, Icon, Peer, Problem, Select, Status, Time, useEffect, useRef, useState } from "../core/ui.js";
import { Refused } from "./backlog/refused.js";

/** Milliseconds between two looks at a backlog that changes. */
const LOOK_EACH = 1500;
/** Seconds before the end of the retention from which on it is a warning. */
const SOON = 3600;

/** Rows that are shown at once. */
const AT_ONCE = 100;

/** How many events were skipped from this page, by bot and account. @type {Map<string, number>} */
const skipped = new Map();
const keyOf = (row) => `${row.account} ${row.bot}`;

/** The state of a delivery: the look of its shape, and the key of its word. @param {any} row */
function stateOf(row) {
    // First: a bot that refuses by closing its connection is away most of the time.
    if (row.refuses_all) return ["bad", "refuses_all"];
    if (!row.connected) return ["idle", "away"];
    if (row.silent) return ["warning", "silent"];
    return row.backlog > row.unconfirmed ? ["partly", "catching_up"] : ["good", "fine"];
}

/** @param {string} connection */
function connectionText(connection) {
    const key = `overview.kind.bot.${connection}`;
    return hasWords(key) ? t(key) : connection;
}

/** A cell that has its heading beside it where the table is cards. @param {any} props */
const Cell = ({ label, children, tone, class: extra }) => html`<td data-label=${label} class=${classes(extra, tone)}><div class="cell">${children}</div></td>`;

/** @param {{row: any, skip: () => void}} props */
function Row({ row, skip }) {
    const [look, word] = stateOf(row);
    const soon = row.backlog > 0 && row.retention_left !== null && row.retention_left < SOON;
    return html`<tr>
        <th scope="row" class="names"><${Peer} inline text=${row.bot} /><span class="mono muted">${row.account}</span>
            <span class="muted small">${connectionText(row.connection)} · ${t(row.mode === "live" ? "backlog.live" : "overview.at_least_once")}</span></th>
        <${Cell} label=${t("backlog.state")}><${Status} state=${look}>${t(`backlog.state.${word}`)}<//><//>
        <${Cell} label=${t("backlog.backlog")} class="numbers figure-cell" tone=${row.backlog > 0 ? "some" : ""}>${number(row.backlog)}<//>
        <${Cell} label=${t("backlog.unconfirmed")} class="numbers">${number(row.unconfirmed)}<//>
        <${Cell} label=${t("backlog.oldest")}><${Time} at=${row.oldest} /><//>
        <${Cell} label=${t("backlog.confirmed")}><${Time} at=${row.cursor_since} /><//>
        <${Cell} label=${t("backlog.retention_left")} tone=${soon ? "tone-warning" : ""}>${row.retention_left === null || row.retention_left === undefined ? "–"
            : row.retention_left <= 0 ? t("backlog.retention_over") : duration(row.retention_left)}<//>
        <td class="actions"><${Button} disabled=${!row.backlog} label=${t("backlog.skip_of", { bot: row.bot, account: row.account })} onClick=${skip}>${t("backlog.skip")}<//></td>
    </tr>`;
}

/** What is to be done where something is wrong, in words. @param {{rows: any[]}} props */
function Advice({ rows }) {
    const refusing = rows.filter((row) => row.refuses_all);
    const silent = rows.filter((row) => row.connected && row.silent && !row.refuses_all);
    const names = (list) => [...new Set(list.map((row) => row.bot))].join(", ").slice(0, 200);
    return html`${refusing.length > 0 && html`<${Bar} kind="bad"><bdi class="peer">${t("backlog.advice.refuses_all", { bots: names(refusing) })}</bdi><//>`}
        ${silent.length > 0 && html`<${Bar} kind="warning"><bdi class="peer">${t("backlog.advice.silent", { bots: names(silent) })}</bdi><//>`}`;
}

/**
 * Ask for the bot's name, typed, before its backlog is skipped.
 * @param {{row: any, onClose: () => void, onDone: () => any}} props
 */
function Skip({ row, onClose, onDone }) {
    const [name, setName] = useState("");
    const [error, setError] = useState(/** @type {any} */ (null));
    const [busy, setBusy] = useState(false);
    const right = name.trim() === row.bot;
    const skip = async () => {
        if (!right || busy) return;
        setBusy(true);
        setError(null);
        try {
            const answer = await post("backlog/skip", { bot: row.bot, account: row.account, name: name.trim() });
            skipped.set(keyOf(row), answer.skipped);
            await onDone();
            onClose();
        } catch (refusal) {
            setError(refusal);
            setBusy(false);
        }
    };
    return html`<${Dialog} title=${t("backlog.skip_title")} onClose=${onClose} actions=${html`
        <${Button} onClick=${onClose}>${t("ui.cancel")}<//><${Button} kind="danger" disabled=${!right || busy} onClick=${skip}>${t("backlog.skip_yes", { n: number(row.backlog) })}<//>`}>
        <form class="stack" onSubmit=${(event) => { event.preventDefault(); skip(); }}>
            <p>${t("backlog.skip_what", { n: number(row.backlog), account: row.account })}</p>
            <p class="muted">${t("backlog.skip_undo")}</p>
            <p class="typed-name"><bdi class="peer mono">${row.bot}</bdi></p>
            <${Field} label=${t("backlog.skip_type")} value=${name} autocomplete="off" autocapitalize="off" spellcheck=${false} onInput=${(event) => setName(event.currentTarget.value)} />
            ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}
        </form><//>`;
}

/** What was skipped and can be had back. @param {{row: any, onDone: (error: any) => any}} props */
function Undo({ row, onDone }) {
    const undo = async () => {
        let error = null;
        try {
            await post("backlog/undo", { bot: row.bot, account: row.account });
            skipped.delete(keyOf(row));
        } catch (refusal) {
            error = refusal;
        }
        await onDone(error);
    };
    const n = skipped.get(keyOf(row));
    const args = { bot: row.bot, account: row.account, n: number(n || 0) };
    return html`<${Bar} kind="info" action=${html`<${Button} icon="reply" label=${t("backlog.undo_of", args)} onClick=${undo}>${t("backlog.undo")}<//>`}>
        <bdi class="peer">${t(n === undefined ? "backlog.skipped_some" : "backlog.skipped", args)}</bdi>
        <p class="muted small">${t("backlog.undo_until")}</p><//>`;
}

/** Make a bot of the configuration an at-least-once one. @param {{bots: string[], onDone: () => any}} props */
function Convert({ bots, onDone }) {
    const [chosen, setChosen] = useState("");
    const bot = bots.includes(chosen) ? chosen : bots[0];
    const change = async () => {
        const edits = [{ op: /** @type {"set"} */ ("set"), path: ["bots", bot, "delivery"], value: "at-least-once" }];
        if (await editConfiguration(edits, { title: t("backlog.convert_title", { bot }) })) await onDone();
    };
    return html`<div class="convert"><${Select} label=${t("overview.bot")} value=${bot} options=${bots.map((name) => [name, name.slice(0, 60)])} onChange=${setChosen} />
        <${Button} kind="primary" onClick=${change}>${t("backlog.convert")}<//></div>`;
}

/** @param {{rows: any[], live: string[], onDone: () => any}} props */
function AtLeastOnce({ rows, live, onDone }) {
    const convert = live.length > 0 && html`<${Convert} bots=${live} onDone=${onDone} />`;
    if (!rows.length) {
        return html`<div class="card"><${Empty} icon="plug" title=${t("backlog.none")}><p class="what-for">${t("backlog.what_for")}</p>${convert || html`<p>${t("backlog.no_bots")}</p>`}<//></div>`;
    }
    return convert && html`<details class="more convert-more"><summary><${Icon} name="right" />${t("backlog.others", { n: live.length })}</summary><p class="muted small">${t("backlog.what_for")}</p>${convert}</details>`;
}

export default function Page() {
    const [backlog, setBacklog] = useState(/** @type {any} */ (null));
    const [live, setLive] = useState(/** @type {string[]} */ ([]));
    const [error, setError] = useState(/** @type {any} */ (null));
    const [skipping, setSkipping] = useState(/** @type {any} */ (null));
    const [limit, setLimit] = useState(AT_ONCE);
    const [notUndone, setNotUndone] = useState(/** @type {any} */ (null));
    const loader = useRef({ running: /** @type {Promise<void> | null} */ (null), again: false, alive: true, timer: 0, last: 0, load: async () => {} });
    if (!loader.current.timer) {
        loader.current.timer = -1;
        const loadAll = async () => {
            const self = loader.current;
            do {
                self.again = false;
                self.last = Date.now();
                try {
                    const answer = await get("backlog");
                    if (!self.alive) break;
                    setBacklog(answer);
                    setError(null);
                } catch (failure) {
                    if (self.alive) setError(failure);
                }
            } while (self.again && self.alive);
            self.running = null;
        };
        // One request at a time: an older answer never takes the place of a newer one. Who waits has the newest.
        loader.current.load = () => {
            const self = loader.current;
            self.again = Boolean(self.running);
            if (!self.running) self.running = loadAll();
            return self.running;
        };
    }
    const { load } = loader.current;
    useEffect(() => {
        const self = loader.current;
        self.alive = true;
        let timer = 0;
        /** Look soon: deliveries change with almost every event. */
        const soon = () => {
            if (timer) return;
            timer = setTimeout(() => {
                timer = 0;
                if (document.hidden) soon();
                else load();
            }, Math.max(0, self.last + LOOK_EACH - Date.now()));
        };
        const bots = ({ bots: cards }) => setLive(cards.filter((card) => card.delivery !== "at-least-once").map((card) => card.bot));
        load();
        get("state").then(bots, () => {});
        const stop = subscribe({ topic: "links" }, {
            links: (state) => { bots(state); soon(); },
            link: ({ bots: changed }) => {
                if (!changed || !changed.length) return;
                const gone = new Set(changed.filter((card) => card.delivery === "at-least-once").map((card) => card.bot));
                setLive((names) => (names.some((name) => gone.has(name)) ? names.filter((name) => !gone.has(name)) : names));
                soon();
            },
        });
        return () => {
            self.alive = false;
            clearTimeout(timer);
            stop();
        };
    }, []);
    // The refusal takes the place of the offer, which goes with the next look: never both.
    const undone = async (failure) => {
        if (!failure) setNotUndone(null);
        await load();
        if (failure) setNotUndone(failure);
    };
    const title = html`<div class="row spread page-title"><h1>${t("backlog.title")}</h1><${Button} kind="quiet" icon="refresh" onClick=${load}>${t("backlog.refresh")}<//></div>`;
    if (!backlog) {
        return html`${title}${error ? html`<${Problem} error=${error} text=${errorText(error)} />` : html`<p role="status" class="muted loading">${t("backlog.loading")}</p>`}`;
    }
    const { rows, refused } = backlog;
    return html`${title}
        ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}
        <div aria-live="polite" class="stack undo">${rows.filter((row) => row.can_undo).map((row) => html`<${Undo} key=${keyOf(row)} row=${row} onDone=${undone} />`)}
            ${notUndone && html`<${Problem} error=${notUndone} text=${errorText(notUndone)} />`}</div>
        <${Advice} rows=${rows} />
        <section class="section" aria-labelledby="deliveries-title">
            <header><h2 id="deliveries-title">${t("backlog.deliveries")}</h2>${rows.length > 0 && html`<span class="muted small">${t("backlog.deliveries_hint")}</span>`}</header>
            ${rows.length > 0 && html`<div class="card table-card"><table class="backlog-table">
                <thead><tr><th scope="col">${t("overview.bot")}</th><th scope="col">${t("backlog.state")}</th><th scope="col">${t("backlog.backlog")}</th><th scope="col">${t("backlog.unconfirmed")}</th>
                    <th scope="col">${t("backlog.oldest")}</th><th scope="col">${t("backlog.confirmed")}</th><th scope="col">${t("backlog.retention_left")}</th><td></td></tr></thead>
                <tbody>${rows.slice(0, limit).map((row) => html`<${Row} key=${keyOf(row)} row=${row} skip=${() => { setNotUndone(null); setSkipping(row); }} />`)}</tbody></table></div>`}
            ${rows.length > limit && html`<div><${Button} onClick=${() => setLimit(limit + AT_ONCE)}>${t("ui.more_items", { n: number(rows.length - limit) })}<//></div>`}
            <${AtLeastOnce} rows=${rows} live=${live} onDone=${load} />
        </section>
        <${Refused} list=${refused} more=${backlog.refused_more} load=${load} />
        ${skipping && html`<${Skip} row=${skipping} onClose=${() => setSkipping(null)} onDone=${load} />`}`;
}
