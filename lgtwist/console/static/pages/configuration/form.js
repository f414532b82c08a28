// @ts-check
/** The form of an entry of the configuration: its keys with their help, and its secrets, which are never told. */

import { editConfiguration } from "../../core/configuration.js";
import { errorText, language, t } from "../../core/i18n.js";
import { Button, Check, classes, Code, Copy, Field, html, Icon, Problem, Select, useId, useState } from "../../core/ui.js";
import { additions } from "./defaults.js";
import { ChipInput } from "../../core/chips.js";
import { EventRules } from "./event_rules.js";
import { asText, editsOf, entryOf, fieldsOf, fieldText, helpOf, idOf, listOf, read, valueAt } from "./fields.js";
import { config, drafts, load, made, newToken, setDraft, unsentFilters } from "./state.js";

const EMPTY = { written: {}, made: {} };

/** The words of a choice: the value, with what it means where the tables say so. @param {string} id @param {string} value */
const choiceText = (id, value) => {
    const kinds = { type: "overview.kind.account.", connection: "overview.kind.bot.", kind: "alerts.kind." }[id];
    return kinds ? `${t(kinds + value)} (${value})` : value;
};

/** One key. @param {{field: any, table: string, kind: string, value: any, written: string | undefined, made: string | undefined, error: string, disabled: boolean, onChange: (text: string | null, made?: string) => void}} props */
function KeyField({ field, table, kind, value, written, made: token, error, disabled, onChange }) {
    const id = idOf(field);
    const { text: help, standard, example, effect } = helpOf(config.value && config.value.keys, table, field.path, kind, language.value);
    const shown = written === undefined ? fieldText(field, value) : written;
    const fallback = field.standard || standard;
    const stop = !help || /[.。]$/.test(help) ? "" : t("configuration.stop");
    const hint = effect ? [help + stop, t(`configuration.effect_${effect}`)].join(language.value === "zh" ? "" : " ") : help;
    const label = html`<code>${id}</code>${field.required && html` <span class="required">${t("configuration.required")}</span>`}`;
    const words = error ? t(`configuration.wrong.${error}`) : "";
    const change = (event) => onChange(event.currentTarget.value);
    if (field.type === "choices") return html`<${ChoicesField} field=${field} table=${table} label=${label} hint=${hint} error=${words} shown=${shown} disabled=${disabled} onChange=${onChange} />`;
    if (field.type === "secret") return html`<${SecretField} id=${id} given=${field.given} label=${label} hint=${hint} value=${value} written=${written} made=${token} disabled=${disabled} onChange=${onChange} />`;
    if (field.type === "chips" || field.type === "ids") return html`<${ListField} field=${field} label=${label} hint=${hint} text=${shown} disabled=${disabled} onChange=${(text) => onChange(text)} />`;
    if (field.type === "choice" || field.type === "boolean") {
        const choices = field.type === "boolean" ? ["true", "false"] : field.choices;
        const none = fallback ? t("configuration.default", { value: choiceText(id, fallback) }) : t("configuration.unset");
        const strange = shown && !choices.includes(shown) ? [[shown, shown]] : [];
        return html`<${Select} label=${label} hint=${hint} error=${words} value=${shown} disabled=${disabled} onChange=${(chosen) => onChange(chosen)}
            options=${[["", none], ...strange, ...choices.map((each) => [each, choiceText(id, each)])]} />`;
    }
    const attributesOf = (attributes) => ({ ...attributes, value: shown, disabled, placeholder: fallback ? t("configuration.default", { value: fallback }) : example ? t("configuration.example", { value: example }) : field.type === "numbers" ? t("configuration.all") : "", spellcheck: false, autocapitalize: "off", autocomplete: "off", onInput: change });
    return html`<${Field} label=${label} hint=${hint} error=${words}>${(attributes) => (field.type === "list" || field.type === "one-or-list" || field.lines
        ? html`<textarea class="mono" rows=${field.lines || Math.min(6, Math.max(2, shown.split("\n").length))} ...${attributesOf(attributes)}></textarea>`
        : html`<input type="text" inputmode=${field.type === "number" ? "numeric" : undefined} ...${attributesOf(attributes)} />`)}<//>`;
}

/**
 * Some of a few choices; all of them where the key is not there.
 * @param {{field: any, table: string, label: any, hint: string, error: string, shown: string, disabled: boolean, onChange: (text: string | null) => void}} props
 */
function ChoicesField({ field, table, label, hint, error, shown, disabled, onChange }) {
    const id = useId();
    const chosen = shown ? shown.split("\n") : field.choices;
    const change = (choice) => (checked) => {
        const now = field.choices.filter((each) => (each === choice ? checked : chosen.includes(each)));
        onChange(now.join("\n") || "-");
    };
    return html`<div class="field choices" role="group" aria-labelledby=${id}><span class="field-name" id=${id}>${label}</span>
        <div class="checks">${field.choices.map((each) => html`<${Check} key=${each} label=${html`${t(`${table}.choice.${each}`)} <code class="muted">${each}</code>`} checked=${chosen.includes(each)} disabled=${disabled} onChange=${change(each)} />`)}</div>
        ${error ? html`<p class="field-error" role="alert">${error}</p>` : hint && html`<p class="field-hint">${hint}</p>`}</div>`;
}

/** A list as chips. An empty list that lets nothing else pass is not the same as none. @param {any} props */
function ListField({ field, label, hint, text, disabled, onChange }) {
    const name = useId();
    const list = listOf(text);
    const id = idOf(field);
    const change = (values) => {
        const made = field.type === "ids" ? values.map(Number) : values;
        onChange(made.length || field.narrows ? JSON.stringify(made) : "");
    };
    return html`<div class="field list-field" role="group" aria-labelledby=${name}><span class="field-name" id=${name}>${label}</span>
        <${ChipInput} label=${id} values=${(list || []).map(String)} numeric=${field.type === "ids"} proposals=${field.proposals} disabled=${disabled} onChange=${change} />
        ${field.narrows && list && !list.length && html`<p class="field-error">${t("filter.empty_list")}</p>`}
        ${field.narrows && list && !disabled && html`<div><${Button} kind="quiet" onClick=${() => onChange("")}>${t("filter.no_list", { list: id })}<//></div>`}
        ${hint && html`<p class="field-hint">${hint}</p>`}</div>`;
}

/** A secret: whether there is one, and what can be done with it. @param {any} props */
function SecretField({ id, given, label, hint, value, written, made: token, disabled, onChange }) {
    const name = useId();
    const [error, setError] = useState(/** @type {any} */ (null));
    const [writing, setWriting] = useState(false);
    const make = async () => {
        setError(null);
        try {
            const fresh = await newToken();
            onChange(fresh, fresh);
        } catch (refusal) {
            setError(refusal);
        }
    };
    const undo = html`<${Button} kind="quiet" onClick=${() => { setWriting(false); onChange(null); }}>${t("configuration.undo")}<//>`;
    const there = value !== undefined && value !== "";
    const own = writing || (written !== undefined && written !== "" && token === undefined);
    return html`<div class="field secret" role="group" aria-labelledby=${name}><span class="field-name" id=${name}>${label}</span>
        ${token !== undefined ? html`<div class="row"><code class="new-token">${token}</code><${Copy} text=${token} label=${`${t("ui.copy")}: ${id}`} />${undo}</div>
                <p class="field-hint">${t("configuration.token_once")}</p>`
            : own ? html`<div class="row"><input type="text" class="grow mono" aria-labelledby=${name} value=${written || ""} disabled=${disabled} autocomplete="off" spellcheck=${false} autocapitalize="off"
                    onInput=${(event) => onChange(event.currentTarget.value || null)} />${undo}</div>`
            : html`<div class="row"><span class=${classes("secret-state", !there && "muted")}>${written === "" ? t("configuration.secret_removed") : there ? html`<span aria-hidden="true">•••••• </span>${t("configuration.secret_set")}` : t("configuration.unset")}</span>
                ${!disabled && html`${!given && html`<${Button} icon="refresh" onClick=${make}>${t("configuration.make")}<//>`}
                <${Button} kind="quiet" icon="edit" onClick=${() => setWriting(true)}>${t("configuration.write")}<//>
                ${written === "" ? undo : there && html`<${Button} kind="quiet" icon="trash" onClick=${() => onChange("")}>${t("configuration.remove_secret")}<//>`}`}</div>`}
        ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}
        ${hint && html`<p class="field-hint">${hint}</p>`}</div>`;
}

/** The accounts that a bot may use as the form has them; undefined for all. @param {any[]} fields @param {any} entry @param {any} draft @returns {number[] | undefined} */
function accountsOf(fields, entry, draft) {
    const field = fields.find((each) => idOf(each) === "accounts");
    if (!field) return undefined;
    const { value } = read(field, draft.written.accounts === undefined ? fieldText(field, entry.accounts) : draft.written.accounts);
    return value;
}

/**
 * A form of one entry (an account, a bot) or of a table.
 *
 * `base` is its path in edits, null for an entry that is to be added; `kindKey` the key that says its kind.
 * @param {{table: string, base: Array<string | number> | null, entry: any, fields: any[], kindKey?: string, kindStandard?: string,
 *   draftKey: string, title: string, children?: any, after?: (entry: any) => any, onDone?: () => void}} props
 */
export function EntryForm({ table, base, entry, fields, kindKey, kindStandard = "", draftKey, title, children, after, onDone }) {
    const draft = drafts.value[draftKey] || EMPTY;
    const [tried, setTried] = useState(false);
    const value = (key) => (draft.written[key] === undefined ? asText(valueAt(entry, [key])) : draft.written[key]);
    const kind = (kindKey && value(kindKey)) || kindStandard;
    const shown = fieldsOf(fields, kind).filter((field) => !field.when || value(field.when[0]) === field.when[1] || valueAt(entry, field.path) !== undefined);
    const result = base ? editsOf({ base, entry, fields, kind, written: draft.written }) : { ...entryOf(fields, kind, draft.written), edits: [] };
    const changed = base ? result.edits.length > 0 || Object.keys(draft.written).length > 0 : true;
    const writable = Boolean(config.value);
    const change = (field) => (text, token) => {
        // As it is now: an answer of the server may come long after this form was painted.
        const now = drafts.peek()[draftKey] || EMPTY;
        const id = idOf(field);
        const next = { written: { ...now.written }, made: { ...now.made } };
        delete next.made[id];
        if (text === null || (text === fieldText(field, valueAt(entry, field.path)) && token === undefined)) delete next.written[id];
        else next.written[id] = text;
        if (token !== undefined) next.made[id] = token;
        setDraft(draftKey, next);
    };
    const save = async () => {
        setTried(true);
        if (Object.keys(result.errors).length) return;
        const edits = base ? result.edits : table === "alerts" ? [{ op: /** @type {"add"} */ ("add"), path: [table], value: /** @type {any} */ (result).entry }]
            : additions(config.peek(), /** @type {any} */ (table), /** @type {any} */ (result).entry);
        const note = !base && edits.length > 1 ? html`<p>${t(`configuration.keeps_${table}`)}</p>` : undefined;
        const whole = base ? { ...entry, ...Object.fromEntries(Object.entries(draft.written).filter(([, text]) => text)) } : /** @type {any} */ (result).entry;
        const secrets = Object.fromEntries(shown.filter((field) => field.type === "secret" && !field.given && draft.written[idOf(field)]).map((field) => [idOf(field), draft.written[idOf(field)]]));
        const name = String(whole.name || whole.self_id || "");
        const last = () => (after ? after({ ...whole, ...secrets }) : html`<${NewTokens} secrets=${secrets} />`);
        const saved = await editConfiguration(edits, { title, note, after: Object.keys(secrets).length ? last : undefined });
        if (!saved) return;
        if (name) made.value = { ...made.peek(), ...Object.fromEntries(Object.entries(secrets).map(([id, text]) => [`${table} ${name} ${id}`, text])) };
        setDraft(draftKey, null);
        setTried(false);
        await load();
        if (onDone) onDone();
    };
    const one = (field) => {
        const id = idOf(field);
        const wrong = result.errors[id];
        return html`<${KeyField} key=${id} field=${field} table=${table} kind=${kind} value=${valueAt(entry, field.path)} written=${draft.written[id]} made=${draft.made[id]}
            error=${wrong && (tried || wrong !== "required") ? wrong : ""} disabled=${!writable} onChange=${change(field)} />`;
    };
    const more = shown.filter((field) => field.more);
    const events = shown.filter((field) => field.part === "events");
    const filled = more.filter((field) => valueAt(entry, field.path) !== undefined || draft.written[idOf(field)]).length;
    return html`<div class="entry-form stack">
        <div class="key-fields">${shown.filter((field) => !field.more && !field.part).map(one)}</div>
        ${events.length > 0 && html`<${EventRules} fields=${events} table=${table} kind=${kind} entry=${entry} draft=${draft} accounts=${accountsOf(fields, entry, draft)} disabled=${!writable} one=${one} change=${change} />`}
        ${more.length > 0 && html`<details class="more"><summary><${Icon} name="right" /><span>${t("configuration.more", { n: more.length })}${filled > 0 ? ` · ${t("configuration.more_set", { n: filled })}` : ""}</span></summary>
            <div class="key-fields">${more.map(one)}</div></details>`}
        <div class="row">
            <${Button} kind="primary" icon="check" disabled=${!changed || unsentFilters.value > 0} onClick=${save}>${t("configuration.review")}<//>
            ${base && changed && html`<${Button} onClick=${() => { setDraft(draftKey, null); setTried(false); }}>${t("configuration.discard")}<//>`}
            ${!base && html`<${Button} onClick=${() => { setDraft(draftKey, null); if (onDone) onDone(); }}>${t("ui.cancel")}<//>`}
            ${children}</div></div>`;
}

/** The tokens that were saved, to be copied. @param {{secrets: Record<string, string>}} props */
function NewTokens({ secrets }) {
    return html`<p>${t("configuration.token_once")}</p>${Object.entries(secrets).map(([id, text]) => html`<${Code} key=${id} text=${text} label=${id} />`)}`;
}
