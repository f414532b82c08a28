// @ts-check
/** A switch for each group: whether the bot gets its events. It edits the lists of `events`. */

import { get, post } from "../../core/api.js";
import { number } from "../../core/format.js";
import { errorText, t } from "../../core/i18n.js";
import { Button, Field, html, Peer, Problem, signal, useState } from "../../core/ui.js";

/** Accounts that are asked for their groups, groups that are shown at once. */
const MOST_ACCOUNTS = 10;
const AT_ONCE = 50;

/** The names of groups, as accounts told them, by their numbers. */
const known = signal(/** @type {Record<string, string>} */ ({}));

/** Note the groups of events that were seen. @param {number[]} groups */
export function noteGroups(groups) {
    const fresh = groups.filter((group) => Number.isSafeInteger(group) && known.peek()[group] === undefined);
    if (fresh.length) known.value = { ...known.peek(), ...Object.fromEntries(fresh.map((group) => [String(group), ""])) };
}

/** Ask accounts for their groups. @param {number[] | undefined} accounts all where it is not given @returns {Promise<any>} the error of one that did not tell; null */
async function askGroups(accounts) {
    const state = await get("state");
    const asked = state.accounts.map((each) => each.account).filter((each) => !accounts || accounts.includes(each)).slice(0, MOST_ACCOUNTS);
    let wrong = null;
    await Promise.all(asked.map(async (account) => {
        try {
            const { response } = await post("call", { account, action: "get_group_list", params: {} });
            const found = Array.isArray(response && response.data) ? response.data : [];
            const named = found.filter((each) => each && Number.isSafeInteger(Number(each.group_id))).map((each) => [String(Number(each.group_id)), String(each.group_name || "")]);
            known.value = { ...known.peek(), ...Object.fromEntries(named) };
        } catch (failure) {
            wrong = failure;
        }
    }));
    return wrong;
}

/**
 * @param {{allow: number[] | undefined, deny: number[], accounts: number[] | undefined, disabled: boolean,
 *          onAllow: (groups: number[]) => void, onDeny: (groups: number[]) => void}} props
 */
export function GroupSwitches({ allow, deny, accounts, disabled, onAllow, onDeny }) {
    const [text, setText] = useState("");
    const [count, setCount] = useState(AT_ONCE);
    const [error, setError] = useState(/** @type {any} */ (null));
    const [done, setDone] = useState(false);
    const names = known.value;
    const ask = async () => {
        setError(null);
        try {
            setError(await askGroups(accounts));
            setDone(true);
        } catch (failure) {
            setError(failure);
        }
    };
    const isOn = (group) => (!allow || allow.includes(group)) && !deny.includes(group);
    const turn = (group, on) => {
        if (on) {
            if (deny.includes(group)) onDeny(deny.filter((each) => each !== group));
            if (allow && !allow.includes(group)) onAllow([...allow, group]);
        } else if (allow) onAllow(allow.filter((each) => each !== group));
        else onDeny([...deny, group]);
    };
    const groups = [...new Set([...Object.keys(names).map(Number), ...(allow || []), ...deny])].sort((one, other) => one - other);
    const found = groups.filter((group) => !text.trim() || `${group} ${names[group] || ""}`.toLowerCase().includes(text.trim().toLowerCase()));
    return html`<div class="group-switches" role="group" aria-label=${t("filter.groups")}>
        <div class="row"><b>${t("filter.groups")}</b><span class="grow"></span><${Button} icon="refresh" onClick=${ask}>${t("filter.list_groups")}<//></div>
        <p class="field-hint">${t(allow ? "filter.groups_allow" : "filter.groups_deny")}</p>
        ${groups.length > 10 && html`<${Field} label=${t("filter.find_group")} type="search" value=${text} onInput=${(event) => setText(event.currentTarget.value)} />`}
        ${found.length > 0 && html`<ul class="switch-list">${found.slice(0, count).map((group) => html`<li key=${group}><label class="check"><input type="checkbox" role="switch" checked=${isOn(group)} disabled=${disabled}
            onChange=${(event) => turn(group, event.currentTarget.checked)} /><span class="switch-name"><span class="numbers">${group}</span> ${names[group] && html`<${Peer} inline text=${names[group]} />`}</span>
            <span class="small muted">${t(isOn(group) ? "filter.on" : "filter.off")}</span></label></li>`)}</ul>`}
        ${found.length > count && html`<${Button} kind="quiet" onClick=${() => setCount(count + AT_ONCE)}>${t("filter.more_groups", { n: number(found.length - count) })}<//>`}
        ${!groups.length && html`<p class="muted small" role="status">${t(done ? "filter.groups_none" : "filter.groups_unknown")}</p>`}
        ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}</div>`;
}
