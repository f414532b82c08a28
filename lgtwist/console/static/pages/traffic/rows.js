// @ts-check
/** The rows of the live traffic: what arrived, at most so many, and how one looks. */

import { hasWords, language, t } from "../../core/i18n.js";
import { clock, dateTime, milliseconds } from "../../core/format.js";
import { html, Icon, Status } from "../../core/ui.js";
import { KINDS } from "./filter.js";

/** Rows that are kept. */
export const MAX_ROWS = 300;

const ICONS = Object.fromEntries(KINDS);

/**
 * @typedef {{key: number, row: any, answer: any, lost: boolean, version: number} | {key: number, left: number, why: string, version: number}} Item
 */

let lastKey = 0;

/** The newest rows, the newest first. */
export class Rows {
    constructor() {
        /** @type {any[]} */
        this.items = [];
        /** The items that wait for an answer, by the row's number. @type {Map<number, any>} */
        this.waiting = new Map();
    }

    /** Take rows of the server. @param {any[]} rows */
    add(rows) {
        for (const row of rows) {
            const item = { key: ++lastKey, row, answer: null, lost: false, version: 0 };
            this.items.unshift(item);
            if (row.kind === "action") this.waiting.set(row.n, item);
        }
        this.bound();
    }

    /** Complete rows of actions. @param {any[]} answers; returns whether there was one of a row that is kept */
    complete(answers) {
        let changed = false;
        for (const answer of answers) {
            const item = this.waiting.get(answer.n);
            if (!item) continue;
            item.answer = answer;
            item.version += 1;
            changed = true;
            // A late answer may come after "gone".
            if (answer.status !== "gone") this.waiting.delete(answer.n);
        }
        return changed;
    }

    /** Say in the list that rows were left out. @param {number} count @param {string} why "dropped" or "paused" */
    leftOut(count, why) {
        if (!count) return;
        const newest = this.items[0];
        if (newest && newest.why === why) {
            newest.left += count;
            newest.version += 1;
        } else {
            this.items.unshift({ key: ++lastKey, left: count, why, version: 0 });
        }
        this.bound();
    }

    /** No answer comes any more to the rows that wait: the subscription is another one. */
    loseAnswers() {
        for (const item of this.waiting.values()) {
            if (item.answer) continue;
            item.lost = true;
            item.version += 1;
        }
        this.waiting.clear();
    }

    /** Keep the rows that a function returns true for. @param {(row: any) => boolean} wanted */
    keep(wanted) {
        this.items = this.items.filter((item) => item.row && wanted(item.row));
    }

    clear() {
        this.items = [];
        this.waiting.clear();
    }

    bound() {
        for (const item of this.items.splice(MAX_ROWS)) if (item.row) this.waiting.delete(item.row.n);
    }
}

/** The word of a row's type, such as "group message". @param {any} row */
export function typeWord(row) {
    const key = `traffic.type.${row.kind}.${row.type}`;
    if (hasWords(key)) return t(key);
    return row.type || t(`traffic.one.${row.kind}`);
}

/** A part of a message, in the reader's language. @param {string[]} part @returns {string} */
export function partText([kind, value]) {
    if (kind === "text") return value;
    if (kind === "at") return value === "all" ? t("traffic.part.at_all") : `@${value}`;
    const word = hasWords(`traffic.part.${kind}`) ? t(`traffic.part.${kind}`) : kind;
    return value ? `[${word} ${value}]` : `[${word}]`;
}

/** @param {{row: any, hidden: boolean}} props */
function Summary({ row, hidden }) {
    const message = row.kind === "message";
    const parts = row.parts || [];
    const contents = hidden ? parts.length > 0 && html`<span class="muted">${t("traffic.hidden")}</span>`
        : parts.map((part, index) => html`<bdi key=${index} class=${part[0] === "text" ? "peer" : "peer part"}>${partText(part)}</bdi>`);
    return html`<span class="traffic-summary">
        ${row.kind === "action" ? html`<bdi class="peer mono traffic-action">${row.action}</bdi>` : !message && html`<bdi class="peer traffic-type">${typeWord(row)}</bdi>`}
        <span class="traffic-parts">${contents}${message && !parts.length && html`<span class="muted">${t("traffic.empty_message")}</span>`}</span></span>`;
}

/** Who and where. @param {{row: any, hidden: boolean}} props */
function Place({ row, hidden }) {
    const sender = hidden ? "" : row.sender;
    return html`<span class="traffic-place">
        ${sender && html`<bdi class="peer traffic-sender">${sender}</bdi>`}
        ${row.user !== null && row.user !== undefined && html`<span class="numbers traffic-number">${sender ? `(${row.user})` : row.user}</span>`}
        ${row.group !== null && row.group !== undefined && html`<span class="numbers traffic-number">${t("traffic.in_group", { group: row.group })}</span>`}</span>`;
}

/** The answer to an action. @param {{item: any, hidden: boolean}} props */
export function Answer({ item, hidden }) {
    const { answer } = item;
    if (!answer) return html`<${Status} state="waiting">${item.lost ? t("traffic.lost") : undefined}<//>`;
    return html`<${Status} state=${answer.status} />${answer.status === "failed" && answer.retcode !== null && html`<span class="numbers">${answer.retcode}</span>`}
        <span class="numbers muted">${milliseconds(answer.ms)}</span>
        ${answer.wording && !hidden && html`<bdi class="peer traffic-wording">${answer.wording}</bdi>`}`;
}

/** What was drawn of each item: Preact skips what is the same object. @type {WeakMap<object, {state: string, node: any}>} */
const drawn = new WeakMap();

/**
 * Return an item of the list.
 * @param {any} item @param {boolean} hidden whether contents and names are hidden @param {(item: any) => void} open
 */
export function drawItem(item, hidden, open) {
    const state = `${item.version} ${language.value} ${hidden}`;
    const known = drawn.get(item);
    if (known && known.state === state) return known.node;
    const node = item.row ? drawRow(item, hidden, open)
        : html`<li key=${item.key} class="traffic-left"><${Icon} name="warning" /><span>${t(`traffic.left.${item.why}`, { n: item.left })}</span></li>`;
    drawn.set(item, { state, node });
    return node;
}

function drawRow(item, hidden, open) {
    const { row } = item;
    const action = row.kind === "action";
    return html`<li key=${item.key}><button type="button" class=${`traffic-row ${row.kind}`} aria-haspopup="dialog" onClick=${() => open(item)}>
        <time class="numbers traffic-time" title=${dateTime(row.t)} datetime=${new Date(row.t * 1000).toISOString()}>${clock(row.t)}</time>
        <span class="traffic-kind"><${Icon} name=${ICONS[row.kind] || "more"} /><span>${row.kind === "message" ? typeWord(row) : t(`traffic.one.${row.kind}`)}</span></span>
        <span class="numbers traffic-account">${row.account}</span>
        <span class="traffic-bot">${action ? html`<bdi class="peer">${row.bot === "console" ? t("traffic.console") : row.bot}</bdi>` : html`<span class="muted">${t("traffic.everybody")}</span>`}</span>
        <${Place} row=${row} hidden=${hidden} />
        <${Summary} row=${row} hidden=${hidden} />
        ${action && html`<span class="traffic-answer"><${Answer} item=${item} hidden=${hidden} /></span>`}
    </button></li>`;
}
