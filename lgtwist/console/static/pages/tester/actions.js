// @ts-check
/** The action: a field with a list of all known ones, found by name, by words and by group. */

import { language, t } from "../../core/i18n.js";
import { classes, Field, html, useEffect, useId, useRef, useState } from "../../core/ui.js";

const MAX_SHOWN = 400;

/** The words of a catalogue's entry in the reader's language. @param {any} entry */
export const words = (entry) => entry[language.value] || entry.en || "";

/** Return an action's name without the suffix that makes it asynchronous or slower. @param {string} action */
export const withoutSuffix = (action) => action.replace(/_(async|rate_limited)$/, "");

/** Actions that are not in the catalogue, and sound as if they took something away. */
const DANGEROUS = /^_?(set|del|delete|remove|clear|quit|restart|bot_exit)(_|$)|kick|ban\b|_ban|leave|dismiss/i;

/** Return whether to ask before an action. @param {string} action @param {any} entry of the catalogue, or nothing */
export const isDangerous = (action, entry) => (entry ? Boolean(entry.danger) : DANGEROUS.test(action));

/**
 * Return the actions that match, the best first where something is searched; those of the sandbox before others.
 * @param {any} catalogue @param {string} query @param {boolean} sandbox whether the account is one
 */
export function search(catalogue, query, sandbox) {
    const last = (entry) => (sandbox ? !entry.sandbox : !entry.in.includes("standard")) ? 1 : 0;
    const groups = Object.fromEntries(catalogue.groups.map((group) => [group.name, group]));
    const wanted = query.toLowerCase().split(/\s+/).filter(Boolean);
    if (!wanted.length) {
        return catalogue.groups.map((group) => ({ group, actions: catalogue.actions.filter((entry) => entry.group === group.name)
            .sort((one, other) => last(one) - last(other)) }))
            .filter(({ actions }) => actions.length);
    }
    const found = [];
    for (const entry of catalogue.actions) {
        const group = groups[entry.group] || {};
        const name = entry.name.toLowerCase();
        const all = `${name} ${entry.zh} ${entry.en} ${group.zh || ""} ${group.en || ""} ${entry.in.join(" ")}`.toLowerCase();
        if (!wanted.every((word) => all.includes(word))) continue;
        const rank = name === wanted[0] ? 0 : name.startsWith(wanted[0]) ? 1 : name.includes(wanted[0]) ? 2 : 3;
        found.push({ rank, last: last(entry), entry });
    }
    found.sort((one, other) => one.rank - other.rank || one.last - other.last);
    return found.length ? [{ group: null, actions: found.map(({ entry }) => entry) }] : [];
}

/**
 * @param {{catalogue: any, value: string, onChange: (action: string) => void, sandbox: boolean, error?: string}} props
 */
export function ActionField({ catalogue, value, onChange, sandbox, error }) {
    const [open, setOpen] = useState(false);
    const [query, setQuery] = useState("");
    const [active, setActive] = useState(-1);
    const id = useId();
    const box = useRef(/** @type {any} */ (null));
    const found = open ? search(catalogue, query, sandbox) : [];
    const flat = found.reduce((list, { actions }) => list.concat(actions), []).slice(0, MAX_SHOWN);
    const known = catalogue.actions.find((entry) => entry.name === withoutSuffix(value));
    useEffect(() => {
        const chosen = open && document.getElementById(`${id}-${active}`);
        if (chosen) chosen.scrollIntoView({ block: "nearest" });
    }, [active, open]);
    const show = () => {
        setQuery("");
        setActive(-1);
        setOpen(true);
    };
    const choose = (entry) => {
        onChange(entry.name);
        setOpen(false);
    };
    const typed = (event) => {
        const text = event.currentTarget.value;
        onChange(text.trim());
        setQuery(text.trim());
        setActive(-1);
        setOpen(true);
    };
    const pressed = (event) => {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            event.preventDefault();
            if (!open) show();
            else if (flat.length) setActive((active + (event.key === "ArrowDown" ? 1 : active < 0 ? 0 : -1) + flat.length) % flat.length);
        } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
            event.preventDefault();
            if (open && flat[active]) choose(flat[active]);
            else setOpen(false);
        } else if (event.key === "Escape" && open) {
            event.preventDefault();
            setOpen(false);
        }
    };
    const left = (event) => {
        if (!box.current || !box.current.contains(event.relatedTarget)) setOpen(false);
    };
    let index = -1;
    const option = (entry) => {
        index += 1;
        const mine = index;
        return html`<li key=${entry.name} id=${`${id}-${mine}`} role="option" aria-selected=${mine === active ? "true" : "false"}
            class=${classes("action-option", mine === active && "active")} onMouseDown=${(event) => event.preventDefault()} onClick=${() => choose(entry)}>
            <span class="mono action-name">${entry.name}</span><span class="action-words">${words(entry)}</span>
            <span class="row action-chips">${entry.danger && html`<span class="chip warning">${t("tester.danger")}</span>`}
                ${sandbox && !entry.sandbox && html`<span class="chip">${t("tester.not_in_sandbox")}</span>`}</span></li>`;
    };
    return html`<div class="action-field" ref=${box} onFocusOut=${left}>
        <${Field} label=${t("tester.action")} error=${error} hint=${value ? known ? words(known) : t("tester.unknown_action") : t("tester.action_hint")}>${(attributes) => html`
            <input ...${attributes} type="text" role="combobox" class="mono" aria-expanded=${open ? "true" : "false"} aria-controls=${`${id}-list`} aria-autocomplete="list"
                aria-activedescendant=${open && active >= 0 ? `${id}-${active}` : undefined} value=${value} placeholder=${t("tester.action_search")} autocomplete="off"
                autocapitalize="off" spellcheck=${false} maxlength="200" onInput=${typed} onKeyDown=${pressed} onClick=${() => !open && show()}
                onFocus=${(event) => event.currentTarget.select()} />`}<//>
        <div id=${`${id}-list`} role="listbox" aria-label=${t("tester.actions")} class=${classes("action-list", !(open && flat.length) && "closed")}>
            ${open && found.map(({ group, actions }) => html`<ul key=${group ? group.name : ""} role="group" aria-label=${group ? words(group) : t("tester.found")}>
                ${group && html`<li role="presentation" class="action-group">${words(group)}</li>`}${actions.map(option)}</ul>`)}
        </div>
    </div>`;
}
