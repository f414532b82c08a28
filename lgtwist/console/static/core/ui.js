// @ts-check
/** What pages are made of: Preact with htm, signals, and the small components that all pages share. */

import { h, render } from "../vendor/preact.mjs";
import { useEffect, useErrorBoundary, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.mjs";
import { batch, effect, signal, useComputed } from "../vendor/signals.mjs";
import htm from "../vendor/htm.mjs";
import { t } from "./i18n.js";
import { dateTime, number, relative } from "./format.js";

export { batch, effect, h, render, signal, useComputed, useEffect, useErrorBoundary, useLayoutEffect, useMemo, useRef, useState };

let ids = 0;

/** An id that no other element has; Preact's own is unique only within what one `render` made. */
export function useId() {
    return useState(() => {
        ids += 1;
        return `id-${ids}`;
    })[0];
}

/** Markup: html`<p class="x">${text}</p>`; what is put in is text, never markup. */
export const html = htm.bind(h);

/** Join class names; what is false, null or "" is left out. @param {...any} names */
export const classes = (...names) => names.filter(Boolean).join(" ");

/** The paths of the icons, in a box of 24. */
const ICONS = {
    bell: "M6 17v-6a6 6 0 0 1 12 0v6l2 2H4zm4 4h4M12 5V3",
    sun: "M12 4V2m0 20v-2m8-8h2M2 12h2m13.7-5.7 1.4-1.4M4.9 19.1l1.4-1.4m0-11.4L4.9 4.9m14.2 14.2-1.4-1.4M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z",
    moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z",
    auto: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm0 0v18m0-14 5.6-.9M12 11.500h8.900M12 16l6.800-.2",
    logout: "M10 4H5v16h5m4-4 4-4-4-4m4 4H9",
    copy: "M9 9h11v11H9zM5 15H4V4h11v1",
    check: "m5 12.500 4.500 4.500L19 7.500",
    close: "M6 6l12 12M18 6 6 18",
    chat: "M4 5h16v11H9l-5 4z",
    pulse: "M3 12h4l3-8 4 16 3-8h4",
    grid: "M4 4h7v7H4zm9 0h7v7h-7zM4 13h7v7H4zm9 0h7v7h-7z",
    bolt: "M13 3 5 14h6l-1 7 8-11h-6z",
    inbox: "M4 13 6.500 5h11L20 13v6H4zm0 0h5l1 3h4l1-3h5",
    shield: "M12 3 5 6v5c0 4.500 3 8 7 10 4-2 7-5.500 7-10V6zm-3 9 2 2 4-4",
    plug: "M9 3v5m6-5v5M6 8h12v3a6 6 0 0 1-12 0zm6 9v4",
    back: "M15 5l-7 7 7 7",
    more: "M6 12h.01M12 12h.01M18 12h.01",
    plus: "M12 5v14M5 12h14",
    search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm5-2 5 5",
    pause: "M8 5v14m8-14v14",
    play: "M7 5v14l12-7z",
    trash: "M5 7h14M10 7V4h4v3m-7 0 1 13h8l1-13",
    download: "M12 4v11m-5-4 5 5 5-5M5 20h14",
    send: "M4 12 20 4l-5 16-4-6zm7 2 4-5",
    image: "M4 5h16v14H4zm0 11 5-5 4 4 3-3 4 4M15 9h.01",
    people: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7Zm-6 9c0-4 2.500-6 6-6s6 2 6 6m1-9a3 3 0 1 0 0-6m5 15c0-3.500-1.500-5.200-4-5.800",
    person: "M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-8 10c0-4.500 3-7 8-7s8 2.500 8 7",
    reply: "M10 5 4 11l6 6m-6-6h9a7 7 0 0 1 7 7v1",
    warning: "M12 4 2.500 20h19zm0 6v5m0 2.500v.01",
    info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-10v6m0-9v.01",
    down: "m6 9 6 6 6-6",
    right: "m9 6 6 6-6 6",
    edit: "M4 20h4L19 9l-4-4L4 16z",
    sliders: "M4 7h8m6 0h2M4 17h2m6 0h8M15 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM9 20a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
    lines: "M4 6h16M4 11h16M4 16h10",
    filter: "M4 5h16l-6 8v6l-4-2v-4z",
    refresh: "M20 11a8 8 0 1 0-2.300 6.300M20 5v6h-6",
};

/** An icon: decoration, hidden from screen readers. @param {{name: string}} props */
export function Icon({ name }) {
    return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${ICONS[name] || ""} /></svg>`;
}

/** An icon with a word behind it. @param {{icon: string, children?: any}} props */
export function IconText({ icon, children }) {
    return html`<span class="icon-text"><${Icon} name=${icon} /><span>${children}</span></span>`;
}

/**
 * A button. `kind`: "" | "primary" | "danger" | "quiet". With `label` and no children it shows the icon alone.
 * While the promise that `onClick` returns is pending, the button is disabled.
 * @param {any} props
 */
export function Button({ kind = "", icon = "", label = "", children, onClick, disabled, type = "button", class: extra, ...rest }) {
    const [busy, setBusy] = useState(false);
    const alive = useRef(true);
    useEffect(() => () => { alive.current = false; }, []);
    const clicked = (event) => {
        const result = onClick && onClick(event);
        if (result && typeof result.then === "function") {
            setBusy(true);
            const done = () => alive.current && setBusy(false);
            result.then(done, done);
        }
        return undefined;
    };
    const bare = icon && !children;
    return html`<button type=${type} class=${classes("button", kind, bare && "bare", extra)} disabled=${disabled || busy}
        aria-label=${label || undefined} title=${bare ? label : undefined} aria-busy=${busy ? "true" : undefined}
        onClick=${clicked} ...${rest}>${icon && html`<${Icon} name=${icon} />`}${children && html`<span>${children}</span>`}</button>`;
}

/**
 * A label, a control and an error or a hint below. `children` is a function of the control's attributes
 * (`id`, `aria-describedby`, `aria-invalid`), or left out: then an <input> with the remaining attributes.
 * @param {any} props
 */
export function Field({ label, error, hint, children, hideLabel, class: extra, ...rest }) {
    const id = useId();
    const note = error || hint ? `${id}-note` : undefined;
    const attributes = { id, "aria-describedby": note, "aria-invalid": error ? "true" : undefined };
    return html`<div class=${classes("field", extra)}>
        <label for=${id} class=${hideLabel ? "hidden" : undefined}>${label}</label>
        ${typeof children === "function" ? children(attributes) : html`<input ...${attributes} ...${rest} />`}
        ${error ? html`<p class="field-error" id=${note} role="alert">${error}</p>`
            : hint ? html`<p class="field-hint" id=${note}>${hint}</p>` : null}
    </div>`;
}

/**
 * A labelled <select>. `options`: [[value, text], ...]; `onChange` gets the value.
 * @param {any} props
 */
export function Select({ label, options, value, onChange, hideLabel, error, hint, class: extra, ...rest }) {
    return html`<${Field} label=${label} hideLabel=${hideLabel} error=${error} hint=${hint} class=${extra}>${(attributes) => html`
        <select ...${attributes} ...${rest} value=${value} onChange=${(event) => onChange(event.currentTarget.value)}>
            ${options.map(([each, text]) => html`<option key=${each} value=${each} selected=${String(each) === String(value)}>${text}</option>`)}
        </select>`}<//>`;
}

/**
 * A labelled check box. `onChange` gets a boolean.
 * @param {any} props
 */
export function Check({ label, checked, onChange, class: extra, ...rest }) {
    return html`<label class=${classes("check", extra)}><input type="checkbox" checked=${checked} ...${rest}
        onChange=${(event) => onChange(event.currentTarget.checked)} /><span>${label}</span></label>`;
}

/**
 * A modal dialog with a title. Escape, the cross and a press beside it call `onClose`; the focus returns to where it was.
 * Where <dialog> is missing (old browsers) it is a fixed box.
 * @param {{title: any, onClose: () => void, children?: any, actions?: any, wide?: boolean}} props
 */
export function Dialog({ title, onClose, children, actions, wide }) {
    const ref = useRef(null);
    const id = useId();
    useEffect(() => {
        const before = /** @type {any} */ (document.activeElement);
        const dialog = /** @type {any} */ (ref.current);
        if (dialog.showModal) dialog.showModal();
        else dialog.setAttribute("open", "");
        return () => {
            if (dialog.close) dialog.close();
            if (before && before.isConnected && before.focus) before.focus();
        };
    }, []);
    return html`<dialog ref=${ref} class=${classes("dialog", wide && "wide")} aria-labelledby=${id}
        onCancel=${(event) => { event.preventDefault(); onClose(); }} onClose=${onClose}
        onClick=${(event) => event.target === ref.current && onClose()}>
        <div class="dialog-box">
            <header><h2 id=${id}>${title}</h2><${Button} kind="quiet" icon="close" label=${t("ui.close")} onClick=${onClose} /></header>
            <div class="dialog-body">${children}</div>
            ${actions && html`<footer>${actions}</footer>`}
        </div>
    </dialog>`;
}

/**
 * Ask once before something that cannot be undone.
 * @param {{title: any, children?: any, action: any, onYes: () => any, onClose: () => void}} props
 */
export function Confirm({ title, children, action, onYes, onClose }) {
    const yes = async () => {
        await onYes();
        onClose();
    };
    return html`<${Dialog} title=${title} onClose=${onClose} actions=${html`
        <${Button} onClick=${onClose}>${t("ui.cancel")}<//><${Button} kind="danger" onClick=${yes}>${action}<//>`}>${children}<//>`;
}

/** The shapes of states, in a box of 12: a state is never told by its colour alone. */
const SHAPES = {
    good: html`<circle cx="6" cy="6" r="5" fill="currentColor" />`,
    partly: html`<g><circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="2" /><path d="M6 2a4 4 0 0 1 0 8z" fill="currentColor" /></g>`,
    warning: html`<path d="M6 .8 11.600 11H.4z" fill="currentColor" />`,
    bad: html`<path d="m2 2 8 8M10 2l-8 8" stroke="currentColor" stroke-width="2.600" stroke-linecap="round" />`,
    idle: html`<circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="2" />`,
};

/** The looks of the states that the server has. */
const LOOKS = { up: "good", partly: "partly", offline: "warning", down: "bad", ok: "good", failed: "bad", async: "partly", gone: "idle", waiting: "idle" };

/**
 * A state: its shape and its word. `state` is one of the server's (up, partly, offline, down, ok, failed, async,
 * gone) or of the shapes (good, partly, warning, bad, idle); the word is `children`, or `t("status.<state>")`.
 * @param {{state: string, children?: any}} props
 */
export function Status({ state, children }) {
    const look = LOOKS[state] || state;
    return html`<span class=${classes("status", look)}><svg viewBox="0 0 12 12" aria-hidden="true">${SHAPES[look] || SHAPES.idle}</svg>
        <span>${children || t(`status.${state}`)}</span></span>`;
}

/**
 * Text of a peer: isolated, so that it cannot turn round what is beside it, and cut to `lines` lines with a button
 * for the rest. `lines`: 1, 2, 3, 5, 10 or 20.
 * @param {{text: any, lines?: number, inline?: boolean, class?: string}} props
 */
export function Peer({ text, lines = 3, inline, class: extra }) {
    const whole = text === null || text === undefined ? "" : String(text);
    const [limit, setLimit] = useState(0);
    const [cut, setCut] = useState(false);
    const ref = useRef(/** @type {any} */ (null));
    const open = limit > 0;
    const shown = whole.slice(0, open ? limit : CLOSED_CHARACTERS);
    useLayoutEffect(() => {
        const box = ref.current;
        if (box && !open) setCut(shown.length < whole.length || box.scrollHeight > box.clientHeight + 1);
    }, [whole, open]);
    if (inline) return html`<bdi class=${classes("peer", "one-line", extra)} title=${whole.slice(0, 300)}>${whole.slice(0, 300)}</bdi>`;
    const rest = whole.length - shown.length;
    return html`<span class=${classes("peer-box", extra)}><bdi ref=${ref} class=${classes("peer", !open && `clamp clamp-${lines}`)}>${shown}</bdi>
        ${(cut || open) && html`<button type="button" class="link-button" aria-expanded=${open ? "true" : "false"}
            onClick=${() => setLimit(open ? 0 : OPEN_CHARACTERS)}>${t(open ? "ui.less" : "ui.more")}</button>`}
        ${open && rest > 0 && html`<button type="button" class="link-button"
            onClick=${() => setLimit(limit + OPEN_CHARACTERS)}>${t("ui.more_characters", { n: number(rest) })}</button>`}</span>`;
}

/** Characters that are laid out at once: browsers take seconds for 100,000 of hostile ones. */
const CLOSED_CHARACTERS = 2000;
const OPEN_CHARACTERS = 10000;

/**
 * A time, as how long ago it was; a press shows date and time instead.
 * @param {{at: number | null | undefined}} props
 */
export function Time({ at }) {
    const [absolute, setAbsolute] = useState(false);
    if (at === null || at === undefined) return html`<span>–</span>`;
    const whole = dateTime(at);
    return html`<button type="button" class="time" title=${whole} onClick=${() => setAbsolute(!absolute)}>
        <time datetime=${new Date(at * 1000).toISOString()}>${absolute ? whole : relative(at)}</time></button>`;
}

/**
 * Put text on the clipboard, also where the page is plain HTTP and `navigator.clipboard` is missing.
 * @param {string} text
 */
async function copyText(text) {
    if (navigator.clipboard && window.isSecureContext) {
        try {
            await navigator.clipboard.writeText(text);
            return true;
        } catch {
            // forbidden: the old way below may still work
        }
    }
    const area = document.createElement("textarea");
    const open = document.querySelector("dialog[open]") || document.body;
    const before = /** @type {any} */ (document.activeElement);
    area.value = text;
    area.className = "hidden";
    area.setAttribute("readonly", "");
    open.appendChild(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (before && before.focus) before.focus();
    return copied;
}

/**
 * Let the browser save a file.
 * @param {Blob} blob
 * @param {string} name
 */
export function saveFile(blob, name) {
    const url = URL.createObjectURL(blob);
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    document.body.appendChild(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
}

/**
 * A button that copies `text` (a string or a function that returns one) and says so.
 * @param {any} props
 */
export function Copy({ text, label, children, kind = "" }) {
    const [state, setState] = useState("");
    useEffect(() => {
        if (!state) return undefined;
        const timer = setTimeout(() => setState(""), 2000);
        return () => clearTimeout(timer);
    }, [state]);
    const copy = async () => {
        const copied = await copyText(typeof text === "function" ? text() : text);
        setState(copied ? "copied" : "not_copied");
    };
    const word = state ? t(`ui.${state}`) : children || t("ui.copy");
    return html`<${Button} kind=${kind} icon=${state === "copied" ? "check" : "copy"} label=${state ? "" : label} class="copy"
        onClick=${copy}><span aria-live="polite">${word}</span><//>`;
}

/** Text to be copied whole, such as a block of configuration. @param {{text: string, label?: string}} props */
export function Code({ text, label }) {
    return html`<div class="code"><pre tabindex="0" aria-label=${label}><code>${text}</code></pre><${Copy} text=${text} label=${label ? `${t("ui.copy")}: ${label}` : ""} /></div>`;
}

const CHILDREN_AT_ONCE = 100;
const STRING_AT_ONCE = 300;

/** @param {any} value */
function jsonSummary(value) {
    if (Array.isArray(value)) return `[ ${value.length} ]`;
    return `{ ${Object.keys(value).length} }`;
}

/** @param {{value: string}} props */
function JsonString({ value }) {
    const [limit, setLimit] = useState(STRING_AT_ONCE);
    const shown = value.slice(0, limit);
    const rest = value.length - shown.length;
    return html`<bdi class="peer json-string">${JSON.stringify(shown)}${rest > 0 && "…"}</bdi>${rest > 0 && html` <button type="button" class="link-button"
        onClick=${() => setLimit(limit + OPEN_CHARACTERS)}>${t("ui.more_characters", { n: number(rest) })}</button>`}${limit > STRING_AT_ONCE && html` <button
        type="button" class="link-button" onClick=${() => setLimit(STRING_AT_ONCE)}>${t("ui.less")}</button>`}`;
}

/** @param {{name?: any, value: any, depth: number, openDepth: number}} props */
function JsonNode({ name, value, depth, openDepth }) {
    const [open, setOpen] = useState(depth < openDepth);
    const [count, setCount] = useState(CHILDREN_AT_ONCE);
    const key = name === undefined ? null : html`<bdi class="peer json-key">${name}</bdi><span class="json-mark">: </span>`;
    if (value === null || typeof value !== "object") {
        return html`<li>${key}${typeof value === "string" ? html`<${JsonString} value=${value} />`
            : html`<span class=${`json-${value === null ? "null" : typeof value}`}>${String(value)}</span>`}</li>`;
    }
    const keys = Object.keys(value);
    if (!keys.length) return html`<li>${key}<span class="json-mark">${Array.isArray(value) ? "[ ]" : "{ }"}</span></li>`;
    return html`<li><button type="button" class=${classes("json-toggle", open && "open")} aria-expanded=${open ? "true" : "false"}
            onClick=${() => setOpen(!open)}><${Icon} name="right" />${key}<span class="json-mark">${jsonSummary(value)}</span></button>
        ${open && html`<ul>${keys.slice(0, count).map((each) => html`<${JsonNode} key=${each} name=${each} value=${value[each]}
            depth=${depth + 1} openDepth=${openDepth} />`)}
            ${keys.length > count && html`<li><button type="button" class="link-button"
                onClick=${() => setCount(count + 10 * CHILDREN_AT_ONCE)}>${t("ui.more_items", { n: number(keys.length - count) })}</button></li>`}</ul>`}</li>`;
}

/**
 * A JSON value as a tree that opens on demand, with a button that copies the whole.
 * @param {{value: any, openDepth?: number, label?: string}} props
 */
export function Json({ value, openDepth = 2, label }) {
    return html`<div class="json"><ul class="json-tree" aria-label=${label || "JSON"}><${JsonNode} value=${value} depth=${0} openDepth=${openDepth} /></ul>
        <${Copy} text=${() => JSON.stringify(value, null, 2)}>${t("ui.copy_json")}<//></div>`;
}

/** What is shown where there is nothing yet. @param {{icon?: string, title: any, children?: any}} props */
export function Empty({ icon = "info", title, children }) {
    return html`<div class="empty"><${Icon} name=${icon} /><p class="empty-title">${title}</p>${children}</div>`;
}

/** A bar across the page. `kind`: "info" | "warning" | "bad" | "good". @param {any} props */
export function Bar({ kind = "info", children, action }) {
    return html`<div class=${classes("bar", kind)} role=${kind === "bad" ? "alert" : "status"}>
        <${Icon} name=${kind === "info" || kind === "good" ? "info" : "warning"} /><div class="bar-text">${children}</div>${action}</div>`;
}

/** An error of a request, as a bar; nothing where there is none. @param {{error: any, text?: string}} props */
export function Problem({ error, text }) {
    if (!error) return null;
    return html`<${Bar} kind="bad"><${Peer} text=${text || String(error.message || error)} /><//>`;
}

/**
 * Tabs (of a part of a page). `tabs`: [[key, text], ...]; arrow keys move.
 * @param {{tabs: Array<[string, any]>, value: string, onChange: (key: string) => void, label: string, children?: any}} props
 */
export function Tabs({ tabs, value, onChange, label, children }) {
    const id = useId();
    const moved = (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const index = tabs.findIndex(([key]) => key === value);
        const next = tabs[(index + step + tabs.length) % tabs.length][0];
        event.preventDefault();
        onChange(next);
        const button = document.getElementById(`${id}-${next}`);
        if (button) button.focus();
    };
    return html`<div class="tabs"><div class="tab-strip" role="tablist" aria-label=${label} onKeyDown=${moved}>
        ${tabs.map(([key, text]) => html`<button type="button" role="tab" key=${key} id=${`${id}-${key}`} aria-selected=${key === value ? "true" : "false"}
            aria-controls=${`${id}-panel`} tabindex=${key === value ? 0 : -1} onClick=${() => onChange(key)}>${text}</button>`)}</div>
        <div role="tabpanel" id=${`${id}-panel`} aria-labelledby=${`${id}-${value}`}>${children}</div></div>`;
}
