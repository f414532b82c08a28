// @ts-check
/** Whether a bot may use an action or gets an event, and which rule says so. Nothing is sent. */

import { send } from "../../core/api.js";
import { errorText, hasWords, reasonText, t } from "../../core/i18n.js";
import { Button, classes, Empty, Field, html, Problem, Select, Status, Tabs, useEffect, useState } from "../../core/ui.js";
import { ActionField } from "../tester/actions.js";
import { readParams } from "../tester/params.js";
import { anyOfText } from "./sentence.js";

/** Events to begin with, by the key of their word; the account's number is put in. */
const TEMPLATES = {
    group: { post_type: "message", message_type: "group", sub_type: "normal", group_id: 30001, user_id: 20001, raw_message: "hello" },
    private: { post_type: "message", message_type: "private", sub_type: "friend", user_id: 20001, raw_message: "hello" },
    poke: { post_type: "notice", notice_type: "notify", sub_type: "poke", group_id: 30001, user_id: 20001, target_id: 20002 },
    joined: { post_type: "notice", notice_type: "group_increase", sub_type: "approve", group_id: 30001, user_id: 20001 },
    friend: { post_type: "request", request_type: "friend", user_id: 20001, comment: "hello", flag: "1" },
    heartbeat: { post_type: "meta_event", meta_event_type: "heartbeat" },
};

/** @param {string} name @param {number} account */
const template = (name, account) => JSON.stringify({ ...TEMPLATES[name], self_id: account }, null, 2);

/** A rule in words. @param {any} rule */
function ruleText({ code, args }) {
    if (code === "quick_operation" && !(args.actions || []).length) return t("tester.rule.quick_operation_none");
    const empty = code === "group_not_listed" ? args.group_id === null : code === "user_not_listed" && args.user_id === null;
    if (empty) return t(code === "group_not_listed" ? "permissions.rule.no_group" : "permissions.rule.no_user");
    if (code === "none_of_any_of") return t("permissions.rule.none_of_any_of", { what: anyOfText(Object.fromEntries(args.any_of.map((key) => [key, true]))) });
    if (code === "role_not_listed" && args.role === null) return t("permissions.rule.no_role");
    const shown = { ...args, actions: (args.actions || []).join(", ") };
    return reasonText({ code, args: shown }, hasWords(`permissions.rule.${code}`) ? "permissions.rule" : "tester.rule");
}

/** @param {{bots: any[], accounts: any[], known: any}} props */
export function TryOut({ bots, accounts, known }) {
    const [bot, setBot] = useState("");
    const [account, setAccount] = useState("");
    const [what, setWhat] = useState("action");
    const [action, setAction] = useState("");
    const [event, setEvent] = useState("");
    const [asked, setAsked] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    const chosen = bots.some((each) => each.bot === bot) ? bot : bots[0].bot;
    const found = accounts.find((each) => String(each.account) === account) || accounts[0];
    const mine = found && found.account;
    const read = readParams(event);
    const question = what === "action" ? action : event;
    const ready = Boolean(question.trim()) && found && (what === "action" || read.params);
    useEffect(() => {
        setAsked(null);
        setError(null);
    }, [chosen, mine, what, question]);
    const ask = async () => {
        if (!ready) return;
        setError(null);
        // The event is sent as it was written: large numbers keep their digits.
        const body = `{"bot":${JSON.stringify(chosen)},"account":${mine},${what === "action" ? `"action":${JSON.stringify(action)}` : `"event":${event}`}}`;
        try {
            setAsked(await send("POST", "rights/try", body, "application/json"));
        } catch (refusal) {
            setAsked(null);
            setError(refusal);
        }
    };
    const accountText = ({ account: self, name }) => (name ? `${name.slice(0, 40)} (${self})` : String(self));
    const wrong = what === "event" && event.trim() && read.error ? t(`tester.wrong.${read.error}`, { at: read.at || "" }) : "";
    const body = what === "action" ? html`<${ActionField} catalogue=${known} value=${action} onChange=${setAction} sandbox=${false} />`
        : html`<div class="stack"><div class="templates" role="group" aria-label=${t("permissions.templates")}>${Object.keys(TEMPLATES).map((name) => html`
                <${Button} key=${name} onClick=${() => setEvent(template(name, mine))}>${t(`permissions.template.${name}`)}<//>`)}</div>
            <${Field} label=${t("permissions.event_json")} error=${wrong}>${(attributes) => html`<textarea ...${attributes} class="mono" rows="8" spellcheck=${false}
                autocapitalize="off" value=${event} onInput=${(change) => setEvent(change.currentTarget.value)}></textarea>`}<//></div>`;
    return html`<section class="section" aria-labelledby="try-title">
        <header><h2 id="try-title">${t("permissions.try")}</h2><span class="muted small">${t("permissions.try_hint")}</span></header>
        ${!found ? html`<div class="card"><${Empty} icon="plug" title=${t("tester.no_accounts")} /></div>` : html`<div class="card try-out">
            <div class="stack"><${Select} label=${t("overview.bot")} value=${chosen} options=${bots.map((each) => [each.bot, each.bot.slice(0, 60)])} onChange=${setBot} />
                <${Select} label=${t("tester.account")} value=${String(mine)} options=${accounts.map((each) => [String(each.account), accountText(each)])} onChange=${setAccount} /></div>
            <div class="stack"><${Tabs} label=${t("permissions.try")} value=${what} onChange=${setWhat}
                    tabs=${[["action", t("tester.action")], ["event", t("permissions.event")]]}>${body}<//>
                <div class="row"><${Button} kind="primary" icon="check" disabled=${!ready} onClick=${ask}>${t("permissions.ask")}<//></div>
                <div role="status">${asked && html`<div class=${classes("try-result", asked.allowed ? "yes" : "no")}>
                    <${Status} state=${asked.allowed ? "good" : "bad"}>${t(what === "action" ? asked.allowed ? "permissions.yes_action" : "permissions.no_action"
                        : asked.allowed ? "permissions.yes_event" : "permissions.no_event")}<//><bdi class="peer">${ruleText(asked.rule)}</bdi></div>`}</div>
                ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}</div>
        </div>`}
    </section>`;
}
