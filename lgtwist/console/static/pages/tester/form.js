// @ts-check
/** The fields of an action's parameters. */

import { language, t } from "../../core/i18n.js";
import { Field, html, Select } from "../../core/ui.js";
import { readField } from "./params.js";

/**
 * One field. `error` is a code of `tester.wrong.*`, or "".
 * @param {{parameter: any, value: string, error: string, onChange: (value: string) => void}} props
 */
function ParameterField({ parameter, value, error, onChange }) {
    const { name, type, required } = parameter;
    const label = html`<span class="parameter"><bdi class="mono">${name}</bdi>${required && html`<span class="required">${t("tester.required")}</span>`}</span>`;
    const notes = [parameter[language.value] || parameter.en || ""];
    if (parameter.default !== undefined && type !== "boolean" && !parameter.choices) notes.push(t("tester.default", { value: JSON.stringify(parameter.default) }));
    if (type === "message" && value && !error) {
        const { segments } = readField(parameter, value);
        notes.push(segments ? t("tester.as_segments", { n: segments }) : t("tester.as_text"));
    }
    const hint = notes.filter(Boolean).join(" · ");
    const wrong = error ? t(`tester.wrong.${error}`) : "";
    const none = parameter.default === undefined ? t("tester.left_out") : t("tester.left_out_default", { value: String(parameter.default) });
    if (type === "boolean") {
        return html`<${Select} label=${label} hint=${hint} error=${wrong} value=${value} onChange=${onChange} name=${name}
            options=${[["", none], ["true", "true"], ["false", "false"]]} />`;
    }
    if (parameter.choices && (value === "" || parameter.choices.includes(value))) {
        return html`<${Select} label=${label} hint=${hint} error=${wrong} value=${value} onChange=${onChange} name=${name}
            options=${[["", none], ...parameter.choices.map((choice) => [choice, choice])]} />`;
    }
    const changed = (event) => onChange(event.currentTarget.value);
    if (type === "message" || type === "array" || type === "object") {
        return html`<${Field} class="wide-field" label=${label} hint=${hint} error=${wrong}>${(attributes) => html`<textarea ...${attributes} name=${name} rows=${type === "message" ? 3 : 4}
            class=${type === "message" ? undefined : "mono"} spellcheck=${false} value=${value} placeholder=${t(`tester.example.${type}`)} onInput=${changed}></textarea>`}<//>`;
    }
    return html`<${Field} label=${label} hint=${hint} error=${wrong} type="text" name=${name} inputmode=${type === "number" ? "numeric" : undefined}
        autocomplete="off" spellcheck=${false} value=${value} onInput=${changed} />`;
}

/**
 * The form. Fields that were left empty although they are required are told only when `all` is true.
 * @param {{parameters: any[], form: any, errors: Record<string, string>, all: boolean, onChange: (form: any) => void}} props
 */
export function ParameterForm({ parameters, form, errors, all, onChange }) {
    const extra = Object.keys(form.extra);
    if (!parameters.length && !extra.length) return html`<p class="muted">${t("tester.no_params")}</p>`;
    return html`<div class="parameters">${parameters.map((parameter) => html`<${ParameterField} key=${parameter.name} parameter=${parameter}
            value=${form.fields[parameter.name] || ""} error=${errors[parameter.name] === "required" && !all ? "" : errors[parameter.name] || ""}
            onChange=${(value) => {
        const others = Object.fromEntries(Object.entries(form.extra).filter(([name]) => name !== parameter.name));
        onChange({ fields: { ...form.fields, [parameter.name]: value }, extra: others });
    }} />`)}
        ${extra.length > 0 && html`<p class="muted small wide-field">${t("tester.extra")} <bdi class="peer mono">${extra.join(", ").slice(0, 400)}</bdi></p>`}</div>`;
}
