// @ts-check
/** Which events a bot gets, as a part of its form: lists and switches, a switch for each group, and its filter. */

import { language, t } from "../../core/i18n.js";
import { html, Icon, useState } from "../../core/ui.js";
import { fieldText, helpOf, idOf, listOf, valueAt } from "./fields.js";
import { FilterField } from "./filter.js";
import { GroupSwitches } from "./groups.js";
import { config } from "./state.js";

const ALLOW = "events.group_id";
const DENY = "events.deny.group_id";

/**
 * `one` returns the field of a key; `change` the function that takes what is written into it.
 * @param {{fields: any[], table: string, kind: string, entry: any, draft: any, accounts: number[] | undefined, disabled: boolean,
 *          one: (field: any) => any, change: (field: any) => (text: string) => void}} props
 */
export function EventRules({ fields, table, kind, entry, draft, accounts, disabled, one, change }) {
    const [open, setOpen] = useState(false);
    const textOf = (field) => (draft.written[idOf(field)] === undefined ? fieldText(field, valueAt(entry, field.path)) : draft.written[idOf(field)]);
    const filled = fields.filter((field) => textOf(field) !== "").length;
    const named = (id) => fields.find((field) => idOf(field) === id);
    const body = () => {
        const filter = named("filter");
        const { text: hint } = helpOf(config.value && config.value.keys, table, filter.path, kind, language.value);
        const numbers = (groups) => JSON.stringify(groups);
        return html`<div class="stack event-rules">
            <div class="key-fields">${fields.filter((field) => field.type !== "filter").map(one)}</div>
            <${GroupSwitches} allow=${listOf(textOf(named(ALLOW)))} deny=${listOf(textOf(named(DENY))) || []} accounts=${accounts} disabled=${disabled}
                onAllow=${(groups) => change(named(ALLOW))(numbers(groups))} onDeny=${(groups) => change(named(DENY))(groups.length ? numbers(groups) : "")} />
            <${FilterField} text=${textOf(filter)} accounts=${accounts} label=${html`<code>filter</code>`} hint=${hint} disabled=${disabled} onChange=${change(filter)} /></div>`;
    };
    return html`<details class="more" open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)}><summary><${Icon} name="right" /><span>${t("filter.title")}${filled > 0 ? ` · ${t("configuration.more_set", { n: filled })}` : ""}</span></summary>
        ${open && body()}</details>`;
}
