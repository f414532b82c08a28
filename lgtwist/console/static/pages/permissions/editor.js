// @ts-check
/** The rights of one bot as a form: what it makes of the configuration is shown before it is saved. */

import { ChipInput } from "../../core/chips.js";
import { editConfiguration } from "../../core/configuration.js";
import { number } from "../../core/format.js";
import { hasWords, t } from "../../core/i18n.js";
import { Bar, Button, Check, classes, Dialog, Field, html, Icon, Select, useId, useState } from "../../core/ui.js";
import { allows, matches, PRESETS } from "./presets.js";

const UNITS = { s: 1, min: 60, h: 3600 };
const POST_TYPES = ["message", "notice", "request", "message_sent"];
const ROLES = ["owner", "admin", "member"];
/** The keys of any_of that are switches, and those that are lists. */
const SWITCHES = ["at_me", "reply_to_me", "private"];
const BEGINNINGS = ["prefix", "keyword"];
/** What an action's name may have in it, and the stars of patterns; the server says it where it is not so. */
const PATTERN = /^[A-Za-z0-9_.*]{1,200}$/;
const NUMBER = /^[1-9]\d{0,18}$/;
/** Patterns that are proposed besides the names of the catalogue. */
const PROPOSED = ["get_*", "send_*", "set_*", "set_group_*", "delete_*", "can_*", "*kick*", "*ban*", "*forward*", "*file*", "*cookie*", "*rkey*"];

/** @param {any} one @param {any} other */
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const text = (values) => values && values.map(String);

/** What the form has at first. @param {any} bot */
function draftOf(bot) {
    const unit = bot.rate ? Object.keys(UNITS).find((name) => UNITS[name] === bot.rate.seconds) || "min" : "min";
    const { deny = {}, private: wanted = true, roles = null, any_of: anyOf } = bot.conditions || {};
    return {
        denyGroups: text(deny.group_id) || [], denyUsers: text(deny.user_id) || [], private: wanted !== false, roles,
        anyOf: Object.fromEntries([...SWITCHES.map((key) => [key, Boolean(anyOf && anyOf[key])]), ...BEGINNINGS.map((key) => [key, (anyOf && anyOf[key]) || []])]),
        allow: text(bot.allow), deny: text(bot.deny) || [], limited: Boolean(bot.rate), most: bot.rate ? String(bot.rate.most) : "20", unit,
        types: text(bot.events.post_type), groups: text(bot.events.group_id), users: text(bot.events.user_id),
    };
}

/** The edits that make the draft of what there was. @param {any} bot @param {any} draft */
export function editsOf(bot, draft) {
    const before = draftOf(bot);
    const edits = /** @type {any[]} */ ([]);
    const change = (path, was, is) => {
        if (same(was, is)) return;
        const whole = ["bots", bot.bot, ...path];
        edits.push(is === null ? { op: "unset", path: whole } : { op: "set", path: whole, value: is });
    };
    const numbers = (values) => values && values.map(Number);
    const rate = (form) => (form.limited ? `${Number(form.most)}/${form.unit}` : null);
    change(["actions", "allow"], before.allow, draft.allow);
    change(["actions", "deny"], before.deny.length ? before.deny : null, draft.deny.length ? draft.deny : null);
    change(["actions", "rate"], rate(before), rate(draft));
    change(["events", "post_type"], before.types, draft.types);
    change(["events", "group_id"], numbers(before.groups), numbers(draft.groups));
    change(["events", "user_id"], numbers(before.users), numbers(draft.users));
    const filled = (values) => (values.length ? values : null);
    change(["events", "deny", "group_id"], filled(numbers(before.denyGroups)), filled(numbers(draft.denyGroups)));
    change(["events", "deny", "user_id"], filled(numbers(before.denyUsers)), filled(numbers(draft.denyUsers)));
    change(["events", "private"], before.private ? null : false, draft.private ? null : false);
    change(["events", "roles"], before.roles, draft.roles);
    const asks = (anyOf) => [...SWITCHES, ...BEGINNINGS].some((key) => (Array.isArray(anyOf[key]) ? anyOf[key].length : anyOf[key]));
    if (asks(before.anyOf) && !asks(draft.anyOf)) {
        edits.push({ op: "unset", path: ["bots", bot.bot, "events", "any_of"] }); // an empty one is a mistake
        return edits;
    }
    for (const key of SWITCHES) change(["events", "any_of", key], before.anyOf[key] || null, draft.anyOf[key] || null);
    for (const key of BEGINNINGS) change(["events", "any_of", key], filled(before.anyOf[key]), filled(draft.anyOf[key]));
    return edits;
}

/**
 * A list as chips, with a field that adds to it. `count` returns how many known actions a value matches.
 * @param {{label: string, hint?: any, values: string[], onChange: (values: string[]) => void, valid: RegExp, wrong: string,
 *          proposals?: string[], count?: (value: string) => number, numeric?: boolean, empty: string}} props
 */
function Chips({ label, hint, values, onChange, valid, wrong, proposals, count, numeric, empty }) {
    const [typed, setTyped] = useState("");
    const [error, setError] = useState("");
    const id = useId();
    const add = () => {
        // Several at once, as they are copied from elsewhere.
        const parts = typed.split(/[\s,，;；、"'[\]]+/).filter(Boolean);
        const bad = parts.find((part) => !valid.test(part) || (numeric && !Number.isSafeInteger(Number(part))));
        if (bad !== undefined) {
            setError(wrong);
            return;
        }
        onChange([...new Set([...values, ...parts])]);
        setTyped("");
        setError("");
    };
    const pressed = (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        add();
    };
    const input = (event) => {
        setTyped(event.currentTarget.value);
        setError("");
    };
    return html`<div class="chip-field" role="group" aria-label=${label}>
        ${values.length ? html`<div class="chip-buttons">${values.map((value) => {
            const n = count ? count(value) : 1;
            return html`<button type="button" key=${value} class=${classes("chip-button", n === 0 && "none")} aria-label=${t("permissions.remove", { what: value })}
                onClick=${() => onChange(values.filter((each) => each !== value))}><bdi class="peer mono">${value}</bdi>
                ${count && (value.includes("*") || n === 0) && html`<span class="small muted numbers">${n ? number(n) : t("permissions.unknown")}</span>`}<${Icon} name="close" /></button>`;
        })}</div>` : html`<p class="muted small">${empty}</p>`}
        <div class="chip-add"><${Field} label=${t("permissions.add_to", { list: label })} hideLabel error=${error} hint=${hint}>${(attributes) => html`
            <input ...${attributes} type="text" class="mono" list=${proposals ? `${id}-list` : undefined} inputmode=${numeric ? "numeric" : undefined} value=${typed} placeholder=${t(numeric ? "permissions.add_number" : "permissions.add_pattern")}
                autocomplete="off" autocapitalize="off" spellcheck=${false} onInput=${input} onKeyDown=${pressed} onBlur=${() => typed.trim() && add()} />`}<//>
            <${Button} icon="plus" label=${t("permissions.add_to", { list: label })} onClick=${add} /></div>
        ${proposals && html`<datalist id=${`${id}-list`}>${proposals.map((each) => html`<option key=${each} value=${each}></option>`)}</datalist>`}
    </div>`;
}

/** Numbers that may be a list or not. @param {any} props */
function Numbers({ label, check, values, onChange, empty }) {
    return html`<div class="stack"><${Check} label=${check} checked=${values !== null} onChange=${(on) => onChange(on ? [] : null)} />
        ${values !== null && html`<${Chips} label=${label} values=${values} onChange=${onChange} valid=${NUMBER} numeric wrong=${t("permissions.wrong_number")} empty=${empty} />`}</div>`;
}

/** @param {{bot: any, known: any, onClose: () => void}} props */
export function Editor({ bot, known, onClose }) {
    const [draft, setDraft] = useState(() => draftOf(bot));
    const set = (changes) => setDraft((before) => ({ ...before, ...changes }));
    const names = known.actions.map((entry) => entry.name);
    const proposals = [...PROPOSED, ...names];
    const count = (pattern) => names.filter((name) => matches(pattern, name)).length;
    const allowed = names.filter((name) => allows(name, draft.allow, draft.deny)).length;
    const edits = editsOf(bot, draft);
    const badRate = draft.limited && !/^[1-9]\d{0,8}$/.test(draft.most.trim());
    const preset = ({ allow, deny, rate, types }) => set({
        allow, deny,
        ...(rate === undefined ? {} : rate === null ? { limited: false } : { limited: true, most: rate.most, unit: rate.unit }),
        ...(types === undefined ? {} : { types }),
    });
    const save = async () => {
        if (await editConfiguration(edits, { title: t("permissions.edit_title", { bot: bot.bot }) })) onClose();
    };
    const kind = (type) => (hasWords(`overview.event.${type}`) ? t(`overview.event.${type}`) : type);
    const types = [...new Set([...POST_TYPES, ...(bot.events.post_type || [])])];
    const toggled = (type, on) => types.filter((each) => (each === type ? on : draft.types.includes(each)));
    return html`<${Dialog} wide title=${t("permissions.edit_title", { bot: bot.bot.slice(0, 60) })} onClose=${onClose} actions=${html`
        <${Button} onClick=${onClose}>${t("ui.cancel")}<//><${Button} kind="primary" disabled=${!edits.length || badRate} onClick=${save}>${t("permissions.save")}<//>`}>
        <div class="stack">
            <div class="presets" role="group" aria-label=${t("permissions.presets")}>${Object.keys(PRESETS).map((name) => html`<button type="button" key=${name} class="preset"
                aria-pressed=${same(PRESETS[name].allow, draft.allow) && same(PRESETS[name].deny, draft.deny) ? "true" : "false"} onClick=${() => preset(PRESETS[name])}>
                <b>${t(`permissions.preset.${name}`)}</b><span class="small muted">${t(`permissions.preset_hint.${name}`)}</span></button>`)}</div>
            <fieldset class="edit-part"><legend class="hidden">${t("permissions.actions")}</legend>
                <div class="row spread"><h3>${t("permissions.actions")}</h3><span class="muted small" role="status">${t("permissions.allowed_count", { n: number(allowed), all: number(names.length) })}</span></div>
                <${Check} label=${t("permissions.only_these")} checked=${draft.allow !== null} onChange=${(on) => set({ allow: on ? [] : null })} />
                ${draft.allow !== null && html`<${Chips} label=${t("permissions.allow")} values=${draft.allow} onChange=${(allow) => set({ allow })} valid=${PATTERN} wrong=${t("permissions.wrong_pattern")}
                    proposals=${proposals} count=${count} empty=${t("permissions.allow_empty")} />`}
                <p class="field-label">${t("permissions.deny")}</p>
                <${Chips} label=${t("permissions.deny")} values=${draft.deny} onChange=${(deny) => set({ deny })} valid=${PATTERN} wrong=${t("permissions.wrong_pattern")}
                    proposals=${proposals} count=${count} empty=${t("permissions.deny_empty")} hint=${t("permissions.deny_wins")} />
            </fieldset>
            <fieldset class="edit-part"><legend class="hidden">${t("permissions.rate_title")}</legend><h3>${t("permissions.rate_title")}</h3>
                <${Check} label=${t("permissions.limited")} checked=${draft.limited} onChange=${(limited) => set({ limited })} />
                ${draft.limited && html`<div class="rate-fields"><${Field} label=${t("permissions.most")} inputmode="numeric" value=${draft.most} error=${badRate ? t("permissions.wrong_number") : ""}
                        onInput=${(event) => set({ most: event.currentTarget.value })} />
                    <${Select} label=${t("permissions.per")} value=${draft.unit} options=${Object.keys(UNITS).map((unit) => [unit, t(`permissions.unit.${unit}`)])} onChange=${(unit) => set({ unit })} /></div>`}
            </fieldset>
            <fieldset class="edit-part"><legend class="hidden">${t("permissions.events")}</legend><h3>${t("permissions.events")}</h3>
                <${Check} label=${t("permissions.only_types")} checked=${draft.types !== null} onChange=${(on) => set({ types: on ? ["message"] : null })} />
                ${draft.types !== null && html`<div class="row" role="group" aria-label=${t("permissions.only_types")}>${types.map((type) => html`<${Check} key=${type} label=${kind(type)}
                    checked=${draft.types.includes(type)} onChange=${(on) => set({ types: toggled(type, on) })} />`)}</div>`}
                <${Numbers} label=${t("permissions.groups")} check=${t("permissions.only_groups")} values=${draft.groups} onChange=${(groups) => set({ groups })} empty=${t("permissions.groups_empty")} />
                <${Numbers} label=${t("permissions.users")} check=${t("permissions.only_users")} values=${draft.users} onChange=${(users) => set({ users })} empty=${t("permissions.users_empty")} />
                ${draft.groups !== null && html`<p class="field-hint">${t("permissions.groups_hint")}</p>`}
                <p class="field-label">${t("permissions.deny_groups")}</p>
                <${ChipInput} label=${t("permissions.deny_groups")} numeric values=${draft.denyGroups} onChange=${(denyGroups) => set({ denyGroups })} />
                <p class="field-label">${t("permissions.deny_users")}</p>
                <${ChipInput} label=${t("permissions.deny_users")} numeric values=${draft.denyUsers} onChange=${(denyUsers) => set({ denyUsers })} />
                <${Check} label=${t("permissions.no_private_check")} checked=${!draft.private} onChange=${(off) => set({ private: !off })} />
                <${Check} label=${t("permissions.only_roles_check")} checked=${draft.roles !== null} onChange=${(on) => set({ roles: on ? ["owner", "admin"] : null })} />
                ${draft.roles !== null && html`<div class="row" role="group" aria-label=${t("permissions.only_roles_check")}>${ROLES.map((role) => html`<${Check} key=${role} label=${t(`permissions.role.${role}`)}
                    checked=${draft.roles.includes(role)} onChange=${(on) => set({ roles: ROLES.filter((each) => (each === role ? on : draft.roles.includes(each))) })} />`)}</div>`}
                <div class="stack" role="group" aria-label=${t("permissions.any_of_title")}><p class="field-label">${t("permissions.any_of_title")}</p>
                    <div class="row">${SWITCHES.map((key) => html`<${Check} key=${key} label=${t(`permissions.any_of_check.${key}`)} checked=${draft.anyOf[key]} onChange=${(on) => set({ anyOf: { ...draft.anyOf, [key]: on } })} />`)}</div>
                    ${BEGINNINGS.map((key) => html`<div class="stack" key=${key}><p class="field-label">${t(`permissions.any_of_check.${key}`)}</p>
                        <${ChipInput} label=${t(`permissions.any_of_check.${key}`)} values=${draft.anyOf[key]} onChange=${(values) => set({ anyOf: { ...draft.anyOf, [key]: values } })} /></div>`)}</div>
                <p class="field-hint">${t(bot.filter ? "permissions.has_filter" : "permissions.no_filter")} <a class="button quiet" href="#/configuration/bots" onClick=${onClose}>${t("permissions.edit_filter")}</a></p>
            </fieldset>
            ${draft.allow && draft.allow.some((pattern) => pattern === "*" || pattern === "send_*" || pattern === "get_*") && !draft.deny.length
                && html`<${Bar} kind="warning">${t("permissions.patterns_hint")}<//>`}
        </div><//>`;
}
