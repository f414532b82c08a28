// @ts-check
/** The rows of a filter: a field of the event, an operator and a value each; all hold, and one of some groups. */

import { ChipInput, isWhole } from "../../core/chips.js";
import { t } from "../../core/i18n.js";
import { Button, classes, Field, html, Select, useId } from "../../core/ui.js";

/**
 * @typedef {{id: number, field: string, free: boolean, operator: string, kind: "text" | "number" | "boolean", value: string, values: string[], blank: boolean}} Row
 * @typedef {{all: Row[], any: Row[][]}} Rows
 */

/** The fields that are offered: what kind of value each has, and values that are proposed. @type {Record<string, {kind: "text" | "number", proposals?: string[]}>} */
const FIELDS = {
    post_type: { kind: "text", proposals: ["message", "notice", "request"] },
    message_type: { kind: "text", proposals: ["group", "private"] },
    notice_type: { kind: "text", proposals: ["group_increase", "group_decrease", "group_admin", "group_ban", "group_recall", "group_upload", "friend_add", "friend_recall", "notify"] },
    request_type: { kind: "text", proposals: ["friend", "group"] },
    group_id: { kind: "number" },
    user_id: { kind: "number" },
    sub_type: { kind: "text", proposals: ["normal", "anonymous", "notice", "friend", "group", "other", "poke"] },
    raw_message: { kind: "text" },
    "sender.role": { kind: "text", proposals: ["owner", "admin", "member"] },
};

/** The operators of each grammar, as the server has them (ROW_OPERATORS). @type {Record<string, string[]>} */
export const OPERATORS = {
    llbot: ["equal", "not_equal", "in", "not_in", "regex", "not_regex", "greater", "at_least", "less", "at_most"],
    "go-cqhttp": ["equal", "not_equal", "in", "not_in", "regex", "not_regex", "contains"],
};

const OTHER = "…";
const isList = (operator) => operator === "in" || operator === "not_in";
const isText = (operator) => operator === "regex" || operator === "not_regex" || operator === "contains";

let ids = 0;

/** @returns {Row} */
export function newRow() {
    ids += 1;
    return { id: ids, field: "group_id", free: false, operator: "in", kind: "number", value: "", values: [], blank: false };
}

/** @param {any} given one of the server's @returns {Row} */
function localRow({ field, operator, value }) {
    const list = Array.isArray(value) ? value : [value];
    const kind = typeof list[0] === "number" || typeof list[0] === "boolean" ? /** @type {"number" | "boolean"} */ (typeof list[0]) : "text";
    ids += 1;
    const known = FIELDS[field];
    // Where the values are of another kind than the field's, the kind is shown, so that they stay what they are.
    const free = !known || list.some((each) => typeof each !== (known.kind === "number" ? "number" : "string"));
    return { id: ids, field, free, operator, kind: list.length ? kind : known ? known.kind : "text",
        value: Array.isArray(value) ? "" : String(value), values: Array.isArray(value) ? value.map(String) : [], blank: Array.isArray(value) ? !value.length : value === "" };
}

/** Return rows with the operators that a grammar has; others become the first one. @param {Rows} rows @param {string} grammar @returns {Rows} */
export function rowsFor(rows, grammar) {
    const one = (row) => (OPERATORS[grammar].includes(row.operator) ? row : { ...row, operator: "equal" });
    return { all: rows.all.map(one), any: rows.any.map((group) => group.map(one)) };
}

/** Whether rows of the server can be edited here: values of one list are of one kind. @param {any} rows */
export function canEdit(rows) {
    return [...rows.all, ...rows.any.flat()].every(({ value }) => !Array.isArray(value) || value.every((each) => typeof each === typeof value[0]));
}

/** @param {any} rows the server's @returns {Rows} */
export const localRows = (rows) => ({ all: rows.all.map(localRow), any: rows.any.map((group) => group.map(localRow)) });

/** The kind of values that a row has. @param {Row} row */
const kindOf = (row) => (isText(row.operator) ? "text" : row.free ? row.kind : FIELDS[row.field].kind);

/** Return a row for the server; null where it is not filled in. @param {Row} row */
function wireRow(row) {
    const kind = kindOf(row);
    const given = isList(row.operator) ? row.values : [row.value];
    if (!row.field || (!row.blank && (!given.length || given[0] === ""))) return null;
    if (kind === "number" && !given.every(isWhole)) return null;
    const values = given.map((each) => (kind === "number" ? Number(each) : kind === "boolean" ? each === "true" : each));
    return { field: row.field, operator: row.operator, value: isList(row.operator) ? values : values[0] };
}

/** Return the rows that are filled in, for the server. @param {Rows} rows */
export function wireRows(rows) {
    const filled = (list) => list.map(wireRow).filter(Boolean);
    return { all: filled(rows.all), any: rows.any.map(filled).filter((group) => group.length) };
}

/** One row. @param {{row: Row, grammar: string, wrong: boolean, disabled: boolean, onChange: (row: Row) => void, onRemove: () => void}} props */
function RowEditor({ row, grammar, wrong, disabled, onChange, onRemove }) {
    const id = useId();
    const set = (changes) => onChange({ ...row, blank: false, ...changes });
    const kind = kindOf(row);
    const known = FIELDS[row.field];
    const proposals = known && known.proposals && !isText(row.operator) ? known.proposals : undefined;
    const operators = [...OPERATORS[grammar], ...(OPERATORS[grammar].includes(row.operator) ? [] : [row.operator])];
    const pickField = (name) => {
        if (name === OTHER) set({ field: "", free: true, kind: "text" });
        else set({ field: name, free: false, ...(FIELDS[name].kind === kind ? {} : { value: "", values: [] }) });
    };
    const pickOperator = (operator) => {
        const changed = { ...row, operator };
        const list = isList(operator);
        set({ operator, ...(list && !isList(row.operator) ? { values: row.value ? [row.value] : [], value: "" } : {}), ...(!list && isList(row.operator) ? { value: row.values[0] || "", values: [] } : {}),
            ...(kindOf(changed) === "number" && !isList(operator) && row.value && !isWhole(row.value) ? { value: "" } : {}) });
    };
    const what = t("filter.value");
    const bad = !isList(row.operator) && kind === "number" && row.value !== "" && !isWhole(row.value) ? t("filter.not_a_number", { value: row.value.slice(0, 40) }) : "";
    return html`<div class=${classes("filter-row", wrong && "wrong")} role="group" aria-label=${t("filter.row", { field: row.field || "…" })}>
        <${Select} label=${t("filter.field")} hideLabel value=${row.free ? OTHER : row.field} disabled=${disabled} onChange=${pickField}
            options=${[...Object.keys(FIELDS).map((name) => [name, name]), [OTHER, t("filter.other_field")]]} />
        ${row.free && html`<${Field} label=${t("filter.other_field")} hideLabel>${(attributes) => html`<input ...${attributes} type="text" class="mono" value=${row.field} disabled=${disabled} placeholder="sender.level"
            autocomplete="off" autocapitalize="off" spellcheck=${false} onInput=${(event) => set({ field: event.currentTarget.value.trim() })} />`}<//>`}
        <${Select} label=${t("filter.operator")} hideLabel value=${row.operator} disabled=${disabled} onChange=${pickOperator} options=${operators.map((name) => [name, t(`filter.op.${name}`)])} />
        ${row.free && !isText(row.operator) && html`<${Select} label=${t("filter.kind")} hideLabel value=${row.kind} disabled=${disabled}
            onChange=${(chosen) => set({ kind: chosen, value: chosen === "boolean" ? "true" : "", values: [] })}
            options=${[["text", t("filter.kind.text")], ["number", t("filter.kind.number")], ["boolean", t("filter.kind.boolean")]]} />`}
        <div class="filter-value">${isList(row.operator)
            ? html`<${ChipInput} label=${what} values=${row.values} numeric=${kind === "number"} proposals=${proposals} invalid=${wrong} disabled=${disabled} onChange=${(values) => set({ values })} />`
            : kind === "boolean" ? html`<${Select} label=${what} hideLabel value=${row.value} disabled=${disabled} onChange=${(value) => set({ value })} options=${[["true", "true"], ["false", "false"]]} />`
            : html`<${Field} label=${what} hideLabel error=${bad}>${(attributes) => html`<input ...${attributes} aria-invalid=${bad || wrong ? "true" : undefined} type="text" class="mono" inputmode=${kind === "number" ? "numeric" : undefined}
                value=${row.value} disabled=${disabled} list=${proposals ? `${id}-list` : undefined} placeholder=${t(isText(row.operator) ? `filter.like_${row.operator === "contains" ? "text" : "regex"}` : "filter.value")} autocomplete="off" autocapitalize="off"
                spellcheck=${false} onInput=${(event) => set({ value: event.currentTarget.value })} />`}<//>
                ${proposals && html`<datalist id=${`${id}-list`}>${proposals.map((each) => html`<option key=${each} value=${each}></option>`)}</datalist>`}`}</div>
        ${!disabled && html`<${Button} kind="quiet" icon="trash" label=${t("filter.remove_row", { field: row.field || "…" })} onClick=${onRemove} />`}</div>`;
}

/** Some rows of which all must hold. @param {{rows: Row[], grammar: string, wrong: (row: Row) => boolean, disabled: boolean, onChange: (rows: Row[]) => void}} props */
function RowList({ rows, grammar, wrong, disabled, onChange }) {
    return html`<div class="filter-rows">${rows.map((row) => html`<${RowEditor} key=${row.id} row=${row} grammar=${grammar} wrong=${wrong(row)} disabled=${disabled}
            onChange=${(next) => onChange(rows.map((each) => (each.id === row.id ? next : each)))} onRemove=${() => onChange(rows.filter((each) => each.id !== row.id))} />`)}</div>`;
}

/**
 * The rows of a filter, to be changed.
 * @param {{rows: Rows, grammar: string, mistakes: Array<{path: string}>, disabled: boolean, onChange: (rows: Rows) => void}} props
 */
export function RowsEditor({ rows, grammar, mistakes, disabled, onChange }) {
    const wrong = (row) => Boolean(row.field) && mistakes.some(({ path }) => `.${path}.`.includes(`.${row.field}.`));
    const setGroup = (index, group) => onChange({ ...rows, any: rows.any.map((each, at) => (at === index ? group : each)) });
    return html`<div class="stack">
        <p class="small muted">${t(rows.all.length ? "filter.all_of" : rows.any.length ? "filter.only_groups" : "filter.no_rows")}</p>
        <${RowList} rows=${rows.all} grammar=${grammar} wrong=${wrong} disabled=${disabled} onChange=${(all) => onChange({ ...rows, all })} />
        ${rows.any.length > 0 && html`<p class="small muted">${t("filter.any_of")}</p>
            ${rows.any.map((group, index) => html`<div class="filter-group" key=${index} role="group" aria-label=${t("filter.group", { n: index + 1 })}>
                <div class="row spread"><b class="small">${t("filter.group", { n: index + 1 })}</b>
                    ${!disabled && html`<${Button} kind="quiet" icon="trash" onClick=${() => onChange({ ...rows, any: rows.any.filter((_each, at) => at !== index) })}>${t("filter.remove_group")}<//>`}</div>
                <${RowList} rows=${group} grammar=${grammar} wrong=${wrong} disabled=${disabled} onChange=${(next) => setGroup(index, next)} />
                ${!disabled && html`<div class="row"><${Button} icon="plus" onClick=${() => setGroup(index, [...group, newRow()])}>${t("filter.add_row_to_group")}<//></div>`}</div>`)}`}
        ${!disabled && html`<div class="row"><${Button} icon="plus" onClick=${() => onChange({ ...rows, all: [...rows.all, newRow()] })}>${t("filter.add_row")}<//>
            <${Button} icon="plus" onClick=${() => onChange({ ...rows, any: [...rows.any, [newRow()]] })}>${t("filter.add_group")}<//></div>`}
    </div>`;
}
