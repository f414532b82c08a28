// @ts-check
/** A bot's filter as rows and as JSON, with its mistakes and with how many of the last events would pass. */

import { post } from "../../core/api.js";
import { number } from "../../core/format.js";
import { errorText, reasonText, t } from "../../core/i18n.js";
import { Bar, Button, Field, html, Icon, Problem, Select, Tabs, useEffect, useId, useRef, useState } from "../../core/ui.js";
import { canEdit, localRows, RowsEditor, rowsFor, wireRows } from "./filter_rows.js";
import { noteGroups } from "./groups.js";
import { unsentFilters } from "./state.js";

/** Milliseconds after the last key before the filter is looked at, and between two counts of what would pass. */
const LOOK_AFTER = 300;
const COUNT_EACH = 4000;

/** Whether some text is a JSON object. @param {string} text */
function isObject(text) {
    try {
        const value = JSON.parse(text);
        return typeof value === "object" && value !== null && !Array.isArray(value);
    } catch {
        return false;
    }
}

/** How many of the last events would pass. @param {{answer: any}} props */
function Count({ answer }) {
    if (!answer || answer.of === undefined) return null;
    if (!answer.of) return html`<span class="muted">${t("filter.no_events")}</span>`;
    return html`<b>${t("filter.would_pass", { passed: number(answer.passed), of: number(answer.of) })}</b> <span class="muted">${t(`filter.source_${answer.source}`)}</span>`;
}

/**
 * @param {{text: string, accounts: number[] | undefined, label: any, hint: string, disabled: boolean, onChange: (text: string) => void}} props
 */
export function FilterField({ text, accounts, label, hint, disabled, onChange }) {
    const name = useId();
    const [mode, setMode] = useState("rows");
    const [answer, setAnswer] = useState(/** @type {any} */ (null));
    const [rows, setRows] = useState(/** @type {any} */ (null));
    const [grammar, setGrammar] = useState("llbot");
    const [error, setError] = useState(/** @type {any} */ (null));
    const latest = useRef(/** @type {any} */ (null));
    /** The text that was made of the rows in view. */
    const own = useRef(/** @type {string | null} */ (null));
    /** What is still to be done with changed rows: a timer, and what it will send. */
    const unsent = useRef(/** @type {any} */ (null));
    const asked = useRef(0);
    latest.current = { text, onChange };
    const account = accounts && accounts.length ? accounts : undefined;
    const whose = JSON.stringify(account);

    const take = (said, anew) => {
        setAnswer(said);
        setError(null);
        noteGroups(said.groups || []);
        if (said.grammar && said.grammar !== "either") setGrammar(said.grammar);
        if (!anew) return;
        const shown = said.rows && canEdit(said.rows);
        setRows(shown ? localRows(said.rows) : null);
        if (!shown) setMode("json");
    };

    useEffect(() => {
        if (text === own.current) return undefined;
        own.current = null;
        asked.current += 1;
        const mine = asked.current;
        const timer = setTimeout(async () => {
            try {
                const said = await post("filter", { text, account });
                if (mine === asked.current) take(said, true);
            } catch (failure) {
                if (mine === asked.current) setError(failure);
            }
        }, answer ? LOOK_AFTER : 0);
        return () => clearTimeout(timer);
    }, [text, whose]);

    useEffect(() => {
        const timer = setInterval(async () => {
            const now = latest.current.text;
            if (document.hidden || unsent.current) return;
            const mine = asked.current;
            try {
                const said = await post("filter", { text: now, account });
                if (mine === asked.current && !unsent.current && now === latest.current.text) take(said, false);
            } catch {
                // The next one may succeed; what is shown is of a moment ago.
            }
        }, COUNT_EACH);
        return () => clearInterval(timer);
    }, [whose]);

    /** Send the rows as they are now; the text that is made of them is the value of the field. */
    const send = async () => {
        const sending = unsent.current;
        clearTimeout(sending.timer);
        asked.current += 1;
        const mine = asked.current;
        try {
            const said = await post("filter", { rows: wireRows(sending.rows), grammar: sending.grammar, account });
            if (sending !== unsent.current) return;
            const made = said.text === "{}" ? "" : said.text;
            own.current = made;
            if (mine === asked.current) take(said, false);
            latest.current.onChange(made);
            unsent.current = null;
            unsentFilters.value -= 1;
        } catch (failure) {
            if (sending === unsent.current) setError(failure);
        }
    };
    const change = (next, chosen) => {
        if (unsent.current) clearTimeout(unsent.current.timer);
        else unsentFilters.value += 1;
        unsent.current = { rows: next, grammar: chosen, timer: setTimeout(send, LOOK_AFTER) };
        setRows(next);
        setGrammar(chosen);
    };
    const drop = () => {
        if (!unsent.current) return;
        clearTimeout(unsent.current.timer);
        unsent.current = null;
        unsentFilters.value -= 1;
    };
    useEffect(() => () => {
        // What was typed a moment ago counts, too.
        if (unsent.current) send().finally(drop);
    }, []);

    const write = (written) => {
        drop();
        own.current = null;
        latest.current.onChange(written);
    };
    const pasted = (event) => {
        const copied = event.clipboardData ? event.clipboardData.getData("text").trim() : "";
        if (disabled || mode !== "rows" || !copied.startsWith("{") || !isObject(copied)) return;
        event.preventDefault();
        write(copied);
    };
    const mistakes = (answer && answer.mistakes) || [];
    const known = answer && (answer.grammar || (mistakes.length && rows && text === own.current ? grammar : ""));
    const named = text.trim() && known ? known : "";
    const canChoose = !disabled && (!text.trim() || known === "either");
    const why = answer && !mistakes.length && !rows ? (answer.why ? reasonText(answer.why, "filter.why") : t("filter.why.mixed")) : "";
    return html`<div class="field filter-field" role="group" aria-labelledby=${name} onPaste=${pasted}>
        <div class="row"><span class="field-name" id=${name}>${label}</span>${named && html`<span class="chip accent">${t(`filter.grammar.${named}`)}</span>`}</div>
        ${hint && html`<p class="field-hint">${hint}</p>`}
        <${Tabs} label=${t("filter.view")} value=${mode} onChange=${setMode} tabs=${[["rows", t("filter.rows")], ["json", "JSON"]]}>
            ${mode === "rows" ? rows ? html`<div class="stack">
                    ${canChoose && html`<${Select} label=${t("filter.write_as")} value=${grammar} onChange=${(chosen) => change(rowsFor(rows, chosen), chosen)} class="filter-grammar"
                        options=${[["llbot", t("filter.grammar.llbot")], ["go-cqhttp", t("filter.grammar.go-cqhttp")]]} />`}
                    <${RowsEditor} rows=${rows} grammar=${grammar} mistakes=${mistakes} disabled=${disabled} onChange=${(next) => change(next, grammar)} />
                    <p class="field-hint">${t("filter.paste_hint")}</p></div>`
                : html`<p class="muted" role="status">${!answer ? t("filter.looking") : why ? t("filter.json_only", { why }) : t("filter.mend_first")}</p>`
            : html`<div class="stack">${why && html`<p class="small muted">${t("filter.json_only", { why })}</p>`}
                <${Field} label=${t("filter.json")} hideLabel>${(attributes) => html`<textarea ...${attributes} class="mono" rows=${Math.min(16, Math.max(4, text.split("\n").length + 1))} value=${text} disabled=${disabled}
                    aria-invalid=${mistakes.length ? "true" : undefined} placeholder=${'{"post_type": "message"}'} spellcheck=${false} autocapitalize="off" autocomplete="off" onInput=${(event) => write(event.currentTarget.value)}></textarea>`}<//></div>`}<//>
        ${mistakes.length > 0 && html`<ul class="filter-mistakes" aria-label=${t("filter.mistakes")}>${mistakes.map(({ path, sentence }) => html`<li class="mistake" key=${`${path} ${sentence}`}><${Icon} name="warning" />
            <span>${path && html`<code class="mistake-place"><bdi class="peer">${path}</bdi></code> `}<bdi class="peer">${sentence}</bdi></span></li>`)}</ul>`}
        <p class="filter-count" role="status">${mistakes.length ? t("filter.has_mistakes") : html`<${Count} answer=${answer} />`}</p>
        ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}
        ${error && unsent.current && html`<${Bar} kind="warning" action=${html`<${Button} onClick=${send}>${t("frame.retry")}<//>`}>${t("filter.not_sent")}<//>`}
    </div>`;
}
