// @ts-check
/** What of the live traffic is shown: the filter, which the server applies, and its controls. */

import { t } from "../../core/i18n.js";
import { perTab } from "../../core/store.js";
import { Button, classes, Field, html, Icon, Select, useEffect, useState } from "../../core/ui.js";

/** The kinds of rows, in the order of their buttons, and their icons. @type {Array<[string, string]>} */
export const KINDS = [["message", "chat"], ["notice", "info"], ["request", "person"], ["action", "bolt"], ["meta", "pulse"], ["other", "more"]];

/** What is shown if nothing else was chosen: heartbeats are not. */
export const DEFAULT_KINDS = ["message", "notice", "request", "action", "other"];

const DIGITS = /^\d{1,18}$/;
const MAX_TEXT = 200;
const TYPING_DELAY = 400;

/**
 * @typedef {{account: string, bot: string, kinds: string[], group: string, user: string, text: string}} Filter
 */

/** @returns {Filter} */
export const emptyFilter = () => ({ account: "", bot: "", kinds: [...DEFAULT_KINDS], group: "", user: "", text: "" });

/** Return the filter of this tab: of the fragment (`#/traffic?bot=x`), or as it was left. @returns {Filter} */
export function keptFilter() {
    const filter = emptyFilter();
    let kept = {};
    const asked = new URLSearchParams(location.hash.split("?")[1] || "");
    if ([...asked.keys()].length) {
        kept = Object.fromEntries(asked);
        if (asked.has("kinds")) kept.kinds = String(asked.get("kinds")).split(",");
    } else {
        try {
            kept = JSON.parse(perTab.get("traffic.filter") || "{}") || {};
        } catch {
            kept = {};
        }
    }
    for (const key of ["account", "bot", "group", "user", "text"]) {
        if (typeof kept[key] === "string") filter[key] = kept[key].slice(0, MAX_TEXT);
    }
    if (Array.isArray(kept.kinds)) filter.kinds = KINDS.map(([kind]) => kind).filter((kind) => kept.kinds.includes(kind));
    return filter;
}

/** @param {Filter} filter */
export function keepFilter(filter) {
    perTab.set("traffic.filter", JSON.stringify(filter));
}

/** How many of a filter's parts differ from the usual ones. @param {Filter} filter */
export function countActive(filter) {
    const kinds = filter.kinds.length !== DEFAULT_KINDS.length || DEFAULT_KINDS.some((kind) => !filter.kinds.includes(kind));
    return [filter.account, filter.bot, filter.group, filter.user, filter.text.trim(), kinds].filter(Boolean).length;
}

/** Return a filter as the server takes it. @param {Filter} filter */
export function toServer(filter) {
    /** @type {Record<string, any>} */
    const wanted = { kinds: KINDS.map(([kind]) => kind).filter((kind) => filter.kinds.includes(kind)) };
    for (const key of ["account", "group", "user"]) if (DIGITS.test(filter[key])) wanted[key] = Number(filter[key]);
    if (filter.bot) wanted.bot = filter.bot;
    if (filter.text.trim()) wanted.text = filter.text.trim().slice(0, MAX_TEXT);
    return wanted;
}

/**
 * Return whether a row that is shown already matches another filter, as far as this can be told from it.
 * @param {any} row @param {any} wanted as `toServer` returns it
 */
export function matches(row, wanted) {
    if (!wanted.kinds.includes(row.kind)) return false;
    if (wanted.account !== undefined && row.account !== wanted.account) return false;
    if (wanted.group !== undefined && row.group !== wanted.group) return false;
    if (wanted.user !== undefined && row.user !== wanted.user) return false;
    if (wanted.bot !== undefined && row.bot !== wanted.bot) return false;
    if (wanted.text === undefined) return true;
    const shown = [row.sender, row.action || "", ...(row.parts || []).filter((part) => part[0] === "text").map((part) => part[1])];
    return shown.join("\n").toLowerCase().includes(wanted.text.toLowerCase());
}

/** A text field that tells what was typed a moment after the last key. @param {any} props */
function Typed({ value, onChange, check, error, ...rest }) {
    const [typed, setTyped] = useState(value);
    useEffect(() => setTyped(value), [value]);
    useEffect(() => {
        if (typed === value || (check && typed && !check.test(typed))) return undefined;
        const timer = setTimeout(() => onChange(typed), TYPING_DELAY);
        return () => clearTimeout(timer);
    }, [typed]);
    const wrong = Boolean(check && typed && !check.test(typed));
    return html`<${Field} ...${rest} value=${typed} error=${wrong ? error : ""} autocomplete="off" spellcheck=${false}
        onInput=${(event) => setTyped(event.currentTarget.value.trimStart())} />`;
}

/**
 * The controls of the filter. `names` has the accounts and bots: `{accounts: [[value, text]], bots: [[value, text]]}`.
 * @param {{filter: Filter, onChange: (filter: Filter) => void, names: any}} props
 */
export function FilterControls({ filter, onChange, names }) {
    const [open, setOpen] = useState(false);
    const active = countActive(filter);
    const set = (key, value) => onChange({ ...filter, [key]: value });
    const toggle = (kind) => {
        const kinds = filter.kinds.includes(kind) ? filter.kinds.filter((each) => each !== kind) : [...filter.kinds, kind];
        set("kinds", kinds);
    };
    const options = (known, value) => [["", t("traffic.all")], ...known, ...(value && !known.some(([each]) => each === value) ? [[value, value]] : [])];
    return html`<section class=${classes("traffic-filter card", open && "open")} aria-label=${t("traffic.filter")}>
        <div class="row spread traffic-filter-toggle">
            <${Button} icon="filter" aria-expanded=${open ? "true" : "false"} onClick=${() => setOpen(!open)}>${active ? t("traffic.filters", { n: active }) : t("traffic.filter")}<//>
            ${active > 0 && html`<${Button} kind="quiet" onClick=${() => onChange(emptyFilter())}>${t("traffic.filter_reset")}<//>`}
        </div>
        <div class="traffic-filter-body">
            <div class="kinds" role="group" aria-label=${t("traffic.kinds")}>${KINDS.map(([kind, icon]) => html`
                <button type="button" key=${kind} class="button kind" aria-pressed=${filter.kinds.includes(kind) ? "true" : "false"} onClick=${() => toggle(kind)}>
                    <${Icon} name=${icon} /><span>${t(`traffic.kind.${kind}`)}</span></button>`)}</div>
            <div class="traffic-fields">
                <${Select} label=${t("traffic.account")} value=${filter.account} options=${options(names.accounts, filter.account)} onChange=${(value) => set("account", value)} />
                <${Select} label=${t("traffic.bot")} value=${filter.bot} options=${options(names.bots, filter.bot)} onChange=${(value) => set("bot", value)} />
                <${Typed} label=${t("traffic.group")} value=${filter.group} onChange=${(value) => set("group", value)} check=${DIGITS} error=${t("traffic.digits")} inputmode="numeric" type="text" />
                <${Typed} label=${t("traffic.user")} value=${filter.user} onChange=${(value) => set("user", value)} check=${DIGITS} error=${t("traffic.digits")} inputmode="numeric" type="text" />
                <${Typed} label=${t("traffic.text")} value=${filter.text} onChange=${(value) => set("text", value)} type="search" maxlength=${MAX_TEXT} placeholder=${t("traffic.text_hint")} class="wide-field" />
                ${active > 0 && html`<${Button} kind="quiet" class="traffic-reset" icon="close" onClick=${() => onChange(emptyFilter())}>${t("traffic.filter_reset")}<//>`}
            </div>
        </div>
    </section>`;
}
