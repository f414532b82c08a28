// @ts-check
/** Live traffic: what accounts and bots do right now, one row per event and per action with its answer. */

import { get } from "../core/api.js";
import { errorText, t } from "../core/i18n.js";
import { connection, subscribe } from "../core/stream.js";
import { perTab } from "../core/store.js";
import { number } from "../core/format.js";
import { Bar, Button, Check, Empty, html, Problem, saveFile, signal, useEffect, useRef, useState } from "../core/ui.js";
import { countActive, emptyFilter, FilterControls, keepFilter, keptFilter, matches, toServer } from "./traffic/filter.js";
import { drawItem, MAX_ROWS, Rows } from "./traffic/rows.js";
import { Detail } from "./traffic/detail.js";

/** Milliseconds between two paintings of the list. */
const PAINT_EACH = 500;
/** Rows within the last seconds above which they are not read out one by one. */
const BUSY_ROWS = 3;
const BUSY_WINDOW = 5000;

/** Whether contents and names are hidden, for a shared screen; kept for this tab. */
const hideContents = signal(perTab.get("traffic.hide") === "1");

/** @param {any} state of the server */
function namesOf(state) {
    return {
        sandbox: state.accounts.some((account) => account.type === "sandbox"),
        accounts: state.accounts.map(({ account, name }) => [String(account), name ? `${name.slice(0, 40)} (${account})` : String(account)]),
        bots: [...state.bots.map(({ bot }) => [bot, bot]), ["console", t("traffic.console")]],
    };
}

/** Save the rows as a file. @param {any[]} items */
function download(items) {
    const rows = items.filter((item) => item.row).map(({ row, answer }) => (answer ? { ...row, answer } : row));
    const blob = new Blob([JSON.stringify(rows.reverse(), null, 1)], { type: "application/json" });
    saveFile(blob, `lgtwist-traffic-${new Date().toISOString().slice(0, 19).replace(/:/g, "")}.json`);
}

export default function Page() {
    const [filter, setFilter] = useState(keptFilter);
    const [paused, setPaused] = useState(false);
    const [opened, setOpened] = useState(/** @type {any} */ (null));
    const [refusal, setRefusal] = useState(/** @type {any} */ (null));
    const [names, setNames] = useState(/** @type {any} */ ({ sandbox: false, accounts: [], bots: [] }));
    const [, repaint] = useState(0);
    const kept = useRef(/** @type {any} */ (null));
    if (!kept.current) kept.current = { rows: new Rows(), received: 0, leftOut: 0, paused: false, timer: null, painted: 0, recent: [], started: null };
    const live = kept.current;
    const hidden = hideContents.value;
    const wanted = toServer(filter);
    const wantedKey = JSON.stringify(wanted);

    const paintSoon = () => {
        if (live.timer) return;
        const wait = Math.max(0, PAINT_EACH - (Date.now() - live.painted));
        live.timer = setTimeout(() => {
            live.timer = null;
            live.painted = Date.now();
            repaint((count) => count + 1);
        }, wait);
    };
    useEffect(() => () => clearTimeout(live.timer), []);
    useEffect(() => {
        get("state").then((state) => setNames(namesOf(state)), () => {});
    }, [connection.value === "open"]);
    useEffect(() => {
        keepFilter(filter);
        setRefusal(null);
        live.rows.keep((row) => matches(row, wanted));
        if (!wanted.kinds.length) {
            live.rows.loseAnswers();
            paintSoon();
            return undefined;
        }
        const stop = subscribe({ topic: "traffic", filter: wanted }, {
            connected(hello) {
                live.rows.loseAnswers();
                live.started = hello.started;
                paintSoon();
            },
            traffic({ rows, answers }) {
                live.received += rows.length;
                const time = Date.now();
                live.recent = [...live.recent, ...rows.map(() => time)].slice(-BUSY_ROWS - 1);
                if (live.paused) live.leftOut += rows.length;
                else live.rows.add(rows);
                live.rows.complete(answers);
                paintSoon();
            },
            dropped({ count }) {
                if (live.paused) live.leftOut += count;
                else live.rows.leftOut(count, "dropped");
                paintSoon();
            },
            refused: setRefusal,
        });
        paintSoon();
        return () => {
            stop();
            live.rows.loseAnswers();
        };
    }, [wantedKey]);

    const pause = () => {
        live.paused = !live.paused;
        if (!live.paused) live.rows.leftOut(live.leftOut, "paused");
        live.leftOut = 0;
        setPaused(live.paused);
    };
    const clear = () => {
        live.rows.clear();
        live.received = 0;
        live.leftOut = 0;
        repaint((count) => count + 1);
    };
    const hide = (value) => {
        hideContents.value = value;
        perTab.set("traffic.hide", value ? "1" : "0");
    };
    const { items } = live.rows;
    const shown = items.filter((item) => item.row).length;
    const busy = live.recent.length > BUSY_ROWS && Date.now() - live.recent[0] < BUSY_WINDOW;
    return html`
        <div class="row spread traffic-head"><h1>${t("traffic.title")}</h1>
            <div class="row traffic-tools">
                <${Check} label=${t("traffic.hide")} checked=${hidden} onChange=${hide} />
                <${Button} icon=${paused ? "play" : "pause"} kind=${paused ? "primary" : ""} onClick=${pause}>${t(paused ? "traffic.resume" : "traffic.pause")}<//>
                <${Button} icon="trash" class="narrow" disabled=${!items.length} onClick=${clear}>${t("traffic.clear")}<//>
                <${Button} icon="download" class="narrow" disabled=${!shown} onClick=${() => download(items)}>${t("traffic.export")}<//>
            </div></div>
        <${FilterControls} filter=${filter} onChange=${setFilter} names=${names} />
        ${refusal && html`<${Problem} error=${refusal} text=${errorText(refusal)} />`}
        ${paused && html`<${Bar} kind="warning">${t("traffic.paused", { n: number(live.leftOut) })}<//>`}
        <section class="card traffic-list" aria-label=${t("traffic.title")}>
            <p class="muted small traffic-count">${t(shown >= MAX_ROWS ? "traffic.count_newest" : "traffic.count", { n: number(shown), all: number(live.received) })}</p>
            <p class="hidden" role="status">${busy ? t("traffic.busy") : ""}</p>
            <div role="log" aria-label=${t("traffic.title")} aria-live=${busy ? "off" : "polite"} aria-relevant="additions">
                ${items.length > 0 && html`<ul class="traffic-rows">${items.map((item) => drawItem(item, hidden, setOpened))}</ul>`}
            </div>
            ${!items.length && html`<${Nothing} filter=${filter} sandbox=${names.sandbox} onReset=${() => setFilter(emptyFilter())} />`}
        </section>
        ${opened && html`<${Detail} key=${opened.key} item=${opened} hidden=${hidden} onClose=${() => setOpened(null)} />`}`;
}

/** What is said where there are no rows. @param {any} props */
function Nothing({ filter, sandbox, onReset }) {
    if (!filter.kinds.length) {
        return html`<${Empty} icon="filter" title=${t("traffic.no_kinds")}><${Button} onClick=${onReset}>${t("traffic.filter_reset")}<//><//>`;
    }
    if (countActive(filter)) {
        return html`<${Empty} icon="filter" title=${t("traffic.nothing_matches")}><${Button} onClick=${onReset}>${t("traffic.filter_reset")}<//><//>`;
    }
    return html`<${Empty} icon="pulse" title=${t("traffic.nothing")}><p>${t("traffic.nothing_hint")}</p>
        ${sandbox && html`<a class="button primary" href="#/sandbox">${t("traffic.say_something")}</a>`}<//>`;
}
