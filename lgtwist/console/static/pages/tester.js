// @ts-check
/** The action tester: one action to an account with the operator's rights, by a form or by JSON, and its answer. */

import { get, send } from "../core/api.js";
import { errorText, t } from "../core/i18n.js";
import { milliseconds } from "../core/format.js";
import { perTab } from "../core/store.js";
import { connection } from "../core/stream.js";
import { Bar, Button, Confirm, Copy, Empty, Field, html, Icon, Problem, Select, signal, Tabs, useEffect, useRef, useState } from "../core/ui.js";
import { ActionField, isDangerous, withoutSuffix, words } from "./tester/actions.js";
import { Answer, History, stateOf } from "./tester/answer.js";
import { ParameterForm } from "./tester/form.js";
import { asCurl, asPython, bodyOf, paramsOf, remember } from "./tester/history.js";
import { formOf, jsonOf, parseJson, readForm, readParams } from "./tester/params.js";
import { Rights } from "./tester/rights.js";

/** The catalogue of actions, which does not change while the service runs. */
const catalogue = signal(/** @type {any} */ (null));

/**
 * What stands in the fields, also while another page is in view. It is not kept in the browser: it may hold secrets.
 * @type {{account: string, action: string, mode: "form" | "json", form: any, text: string, written: boolean}}
 */
let draft = { account: "", action: "", mode: "form", form: { fields: {}, extra: {} }, text: "{}", written: false };

/** Return what another page wants to be sent, and forget it. */
function takeLoad() {
    const asked = new URLSearchParams(location.hash.split("?")[1] || "");
    if (asked.has("action")) return { account: asked.get("account"), action: asked.get("action"), params: {} };
    const text = perTab.get("tester.load");
    perTab.remove("tester.load");
    try {
        return text ? parseJson(text) : null;
    } catch {
        return null;
    }
}

const NOTHING_KNOWN = { groups: [], actions: [] };

export default function Page() {
    const [accounts, setAccounts] = useState(/** @type {any} */ (null));
    const [bots, setBots] = useState(/** @type {string[]} */ ([]));
    const [failed, setFailed] = useState(/** @type {any} */ (null));
    const again = connection.value === "open";
    useEffect(() => {
        const load = async () => {
            try {
                const [state, actions] = await Promise.all([get("state"), catalogue.peek() || get("actions")]);
                catalogue.value = actions;
                setAccounts(state.accounts);
                setBots(state.bots.map(({ bot }) => bot));
                setFailed(null);
            } catch (error) {
                setFailed(error);
            }
        };
        load();
    }, [again]);
    if (!accounts) {
        return html`<h1>${t("tester.title")}</h1>${failed ? html`<${Problem} error=${failed} text=${errorText(failed)} />` : html`<p role="status" class="muted">${t("tester.loading")}</p>`}`;
    }
    if (!accounts.length) return html`<h1>${t("tester.title")}</h1><${Empty} icon="plug" title=${t("tester.no_accounts")} />`;
    return html`<${Tester} accounts=${accounts} bots=${bots} known=${catalogue.value || NOTHING_KNOWN} />`;
}

/** @param {{accounts: any[], bots: string[], known: any}} props */
function Tester({ accounts, bots, known }) {
    const [, redraw] = useState(0);
    const [result, setResult] = useState(/** @type {any} */ (null));
    const [problem, setProblem] = useState(/** @type {any} */ (null));
    const [asking, setAsking] = useState(false);
    const [tried, setTried] = useState(false);
    const [redacted, setRedacted] = useState(false);
    const flight = useRef(/** @type {AbortController | null} */ (null));
    const [inFlight, setInFlight] = useState(false);
    const box = useRef(/** @type {any} */ (null));
    const answerBox = useRef(/** @type {any} */ (null));

    const entryOf = (action) => known.actions.find((each) => each.name === withoutSuffix(action));
    const set = (changes) => {
        draft = { ...draft, ...changes };
        redraw((count) => count + 1);
    };
    /** Put an action with parameters into the fields. */
    const fill = (account, action, params) => {
        const entry = entryOf(action);
        const form = formOf(entry ? entry.params : [], params);
        set({
            account: accounts.some((each) => String(each.account) === String(account)) ? String(account) : draft.account, action,
            mode: entry && !entry.json ? draft.mode : "json", form, text: jsonOf(params),
        });
        setTried(false);
        setProblem(null);
    };
    useEffect(() => {
        if (!accounts.some((each) => String(each.account) === draft.account)) set({ account: String(accounts[0].account) });
        const load = takeLoad();
        if (load && typeof load.action === "string") {
            const params = load.params && typeof load.params === "object" && !Array.isArray(load.params) ? load.params : {};
            fill(load.account, load.action, params);
            setRedacted(/\(hidden\)|\[base64 \d+ KB\]|more characters\)|"too_large"/.test(JSON.stringify(params)));
        }
        return () => flight.current && flight.current.abort();
    }, []);

    const account = accounts.find((each) => String(each.account) === draft.account) || accounts[0];
    const entry = entryOf(draft.action);
    const formPossible = Boolean(entry && !entry.json);
    const mode = formPossible ? draft.mode : "json";
    const parameters = entry ? entry.params : [];
    const fromForm = readForm(parameters, draft.form);
    const fromText = readParams(draft.text);
    const params = mode === "form" ? fromForm.params : fromText.params;
    const badField = mode === "form" && Object.values(fromForm.errors).some((error) => error !== "required");
    const missing = mode === "form" && Object.values(fromForm.errors).includes("required");
    const sendable = Boolean(draft.action) && !inFlight && params !== undefined && !badField;

    const chooseAction = (action) => {
        const next = entryOf(action);
        if (action === draft.action) return;
        setTried(false);
        setRedacted(false);
        // What the next one needs and this one has (group_id ...) stays; and all that was written before a name was chosen.
        const all = !entry && draft.written;
        const names = new Set(next ? next.params.filter(({ required }) => required).map(({ name }) => name) : []);
        const kept = Object.fromEntries(Object.entries(params || {}).filter(([name]) => all || names.has(name)));
        if (!next) set({ action, text: mode === "json" ? draft.text : jsonOf(params || {}), mode: draft.mode });
        else set({ action, form: formOf(next.params, kept), text: jsonOf(kept), written: false });
    };
    const chooseMode = (wanted) => {
        if (wanted === mode) return;
        if (wanted === "json") set({ mode: "json", text: jsonOf(fromForm.params) });
        else if (fromText.params) set({ mode: "form", form: formOf(parameters, fromText.params) });
    };
    const focusWrong = () => setTimeout(() => {
        const wrong = box.current && box.current.querySelector('[aria-invalid="true"]');
        if (wrong) wrong.focus();
    });
    const wish = () => {
        setTried(true);
        if (!sendable || missing) {
            focusWrong();
            return;
        }
        if (isDangerous(draft.action, entry)) setAsking(true);
        else call();
    };
    const call = async () => {
        const called = { account: account.account, action: draft.action, params: params || {} };
        const request = new AbortController();
        flight.current = request;
        setInFlight(true);
        setProblem(null);
        setResult(null);
        const began = performance.now();
        const t0 = Date.now() / 1000;
        try {
            const answer = await send("POST", "call", bodyOf(called.account, called.action, called.params), "application/json", { signal: request.signal });
            setResult({ ...answer, account: called.account, action: called.action });
            const retcode = answer.response && answer.response.retcode;
            remember({ t: t0, ...called, status: stateOf(answer.response), retcode: typeof retcode === "number" ? retcode : null, ms: answer.ms });
        } catch (error) {
            setProblem(request.signal.aborted ? { code: "cancelled" } : error);
            remember({ t: t0, ...called, status: request.signal.aborted ? "gone" : "failed", retcode: null, ms: performance.now() - began });
        }
        flight.current = null;
        setInFlight(false);
        if (answerBox.current && answerBox.current.scrollIntoView && window.innerWidth < 1000) answerBox.current.scrollIntoView({ block: "start" });
    };
    const pressed = (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            wish();
        }
    };
    const accountText = ({ account: number, name }) => (name ? `${name.slice(0, 40)} (${number})` : String(number));
    const form = html`<${ParameterForm} parameters=${parameters} form=${draft.form} errors=${fromForm.errors} all=${tried} onChange=${(changed) => set({ form: changed })} />`;
    const json = html`<${Field} label=${t("tester.params_json")} error=${fromText.error && t(`tester.wrong.${fromText.error}`, { at: fromText.at || "" })}
        hint=${!formPossible && draft.action ? t(entry ? "tester.json_only" : "tester.json_unknown") : ""}>${(attributes) => html`
        <textarea ...${attributes} class="mono" rows="10" name="json" spellcheck=${false} autocapitalize="off" value=${draft.text}
            onInput=${(event) => set({ text: event.currentTarget.value, written: true })}></textarea>`}<//>`;
    return html`<h1>${t("tester.title")}</h1>
        <div class="tester" onKeyDown=${pressed}>
            <div class="tester-main">
                <section class="card stack" ref=${box} aria-label=${t("tester.action")}>
                    <div class="tester-what">
                        <${Select} label=${t("tester.account")} value=${String(account.account)} options=${accounts.map((each) => [String(each.account), accountText(each)])}
                            onChange=${(value) => set({ account: value })} hint=${account.state === "up" ? "" : t("tester.account_down")} />
                        <${ActionField} catalogue=${known} value=${draft.action} onChange=${chooseAction} sandbox=${account.type === "sandbox"} />
                    </div>
                    ${redacted && html`<${Bar} kind="warning">${t("tester.redacted")}<//>`}
                    ${!draft.action ? html`<p class="muted">${t("tester.choose")}</p>`
                        : formPossible ? html`<${Tabs} label=${t("tester.params")} value=${mode} onChange=${chooseMode}
                            tabs=${[["form", t("tester.form")], ["json", "JSON"]]}>${mode === "form" ? form : json}<//>` : json}
                    <div class="row tester-send">
                        ${inFlight ? html`<${Button} kind="primary" icon="close" onClick=${() => { if (flight.current) flight.current.abort(); }}>${t("tester.cancel")}<//><${Waiting} />`
                            : html`<${Button} kind="primary" icon="send" disabled=${!sendable} onClick=${wish}>${t("tester.send")}<//>
                            <span class="muted small key-hint">${t("tester.send_key")}</span>`}
                        ${entry && entry.danger && html`<span class="chip warning"><${Icon} name="warning" />${t("tester.danger")}</span>`}
                        <span class="grow"></span>
                        ${sendable && html`<${Copy} kind="quiet" text=${() => asCurl(account.account, draft.action, params)}>curl<//>
                            <${Copy} kind="quiet" text=${() => asPython(account.account, draft.action, params)}>Python<//>`}
                    </div>
                </section>
                <section class="card section" ref=${answerBox} aria-label=${t("tester.answer")}><header><h2>${t("tester.answer")}</h2></header>
                    <div aria-live="polite">
                        ${problem && html`<${Bar} kind=${problem.code === "cancelled" ? "warning" : "bad"}><bdi class="peer">${problem.code === "cancelled" ? t("tester.cancelled") : errorText(problem)}</bdi><//>`}
                        ${result ? html`<${Answer} result=${result} />` : !problem && html`<p class="muted">${t(inFlight ? "tester.sending" : "tester.no_answer")}</p>`}
                    </div>
                </section>
            </div>
            <div class="tester-side">
                ${bots.length > 0 && html`<${Rights} bots=${bots} account=${account.account} action=${draft.action} />`}
                <${History} restore=${(each) => { fill(each.account, each.action, paramsOf(each)); setRedacted(false); window.scrollTo(0, 0); }} />
            </div>
        </div>
        ${asking && html`<${Confirm} title=${t("tester.ask_title")} action=${t("tester.ask_yes")} onYes=${() => { call(); }} onClose=${() => setAsking(false)}>
            <p>${t("tester.ask", { account: accountText(account) })}</p><p class="ask-action"><bdi class="peer mono">${draft.action}</bdi></p>
            ${entry && html`<p class="muted">${words(entry)}</p>`}<//>`}`;
}

/** How long the answer has been waited for. */
function Waiting() {
    const [began] = useState(() => performance.now());
    const [, tick] = useState(0);
    useEffect(() => {
        const timer = setInterval(() => tick((count) => count + 1), 200);
        return () => clearInterval(timer);
    }, []);
    return html`<span class="numbers muted">${milliseconds(performance.now() - began)}</span>`;
}
