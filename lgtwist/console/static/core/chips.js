// @ts-check
/** A list of values as chips, with a field that adds to it: commas of both kinds part what is typed or pasted. */

import { t } from "./i18n.js";
import { Button, classes, Field, html, Icon, useId, useState } from "./ui.js";

/** A whole number that JavaScript keeps exactly. @param {string} text */
export const isWhole = (text) => /^-?\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text));

/**
 * A list of texts. `numeric`: only whole numbers are taken (as text).
 * @param {{label: string, values: string[], onChange: (values: string[]) => void, numeric?: boolean, proposals?: string[],
 *          disabled?: boolean, invalid?: boolean, hideLabel?: boolean}} props
 */
export function ChipInput({ label, values, onChange, numeric, proposals, disabled, invalid }) {
    const [typed, setTyped] = useState("");
    const [error, setError] = useState("");
    const id = useId();
    /** Take what is typed; the last part stays where it is not finished yet. @param {string} text @param {boolean} all */
    const take = (text, all) => {
        const parts = text.split(numeric ? /[\s,，、;；]+/ : /[,，\n]+/);
        const last = all ? "" : parts.pop() || "";
        const found = parts.map((part) => part.trim()).filter(Boolean);
        const wrong = numeric && found.find((part) => !isWhole(part));
        if (wrong) {
            setTyped(text);
            setError(t("filter.not_a_number", { value: wrong.slice(0, 40) }));
            return;
        }
        setTyped(last);
        setError("");
        const next = [...new Set([...values, ...found.map((part) => (numeric ? String(Number(part)) : part))])];
        if (next.length !== values.length) onChange(next);
    };
    const input = (event) => {
        const text = event.currentTarget.value;
        if (!event.isComposing && /[,，\n]/.test(text)) take(text, false);
        else {
            setTyped(text);
            setError("");
        }
    };
    const pressed = (event) => {
        if (event.key !== "Enter" || event.isComposing) return;
        event.preventDefault();
        take(typed, true);
    };
    return html`<div class="chip-input" role="group" aria-label=${label}>
        ${values.length > 0 && html`<div class="chip-buttons">${values.map((value) => html`<button type="button" key=${value} class="chip-button" disabled=${disabled}
            aria-label=${t("filter.remove_value", { value })} onClick=${() => onChange(values.filter((each) => each !== value))}><bdi class="peer mono">${value}</bdi><${Icon} name="close" /></button>`)}</div>`}
        <div class="chip-add"><${Field} label=${t("filter.add_to", { list: label })} hideLabel error=${error}>${(attributes) => html`
            <input ...${attributes} type="text" class=${classes("mono", invalid && "wrong")} inputmode=${numeric ? "numeric" : undefined} list=${proposals ? `${id}-list` : undefined} value=${typed} disabled=${disabled}
                placeholder=${t(numeric ? "filter.add_number" : "filter.add_text")} autocomplete="off" autocapitalize="off" spellcheck=${false} onInput=${input} onKeyDown=${pressed}
                onBlur=${() => typed.trim() && take(typed, true)} />`}<//>
            <${Button} icon="plus" label=${t("filter.add_to", { list: label })} disabled=${disabled} onClick=${() => take(typed, true)} /></div>
        ${proposals && html`<datalist id=${`${id}-list`}>${proposals.map((each) => html`<option key=${each} value=${each}></option>`)}</datalist>`}
    </div>`;
}
