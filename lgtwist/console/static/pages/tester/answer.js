// @ts-check
/** The answer to an action, its retcode in words; and the history. */

import { hasWords, t } from "../../core/i18n.js";
import { clock, dateTime, milliseconds } from "../../core/format.js";
import { Bar, Button, html, Json, Peer, Status } from "../../core/ui.js";
import { history, forgetAll } from "./history.js";

/** Return what a retcode means. @param {any} retcode */
export function retcodeWords(retcode) {
    const key = `tester.retcode.${retcode}`;
    if (hasWords(key)) return t(key);
    if (typeof retcode !== "number") return t("tester.retcode.none");
    if (retcode >= 1400 && retcode < 1500) return t("tester.retcode.14xx");
    if (retcode >= 100 && retcode < 200) return t("tester.retcode.1xx");
    return t("tester.retcode.other");
}

/** Return the state of a response: ok, failed or async. @param {any} response */
export function stateOf(response) {
    const status = response && response.status;
    if (status === "ok" || status === "failed" || status === "async") return status;
    return response && response.retcode === 0 ? "ok" : response && response.retcode === 1 ? "async" : "failed";
}

/** @param {{result: {account: number, action: string, response: any, ms: number, parts?: number}}} props */
export function Answer({ result }) {
    const { response, ms, parts } = result;
    const state = stateOf(response);
    const said = String((response && (response.wording || response.message || response.msg)) || "");
    return html`<div class="stack answer">
        <p class="row"><${Status} state=${state} /><span class="mono">retcode ${String(response && response.retcode)}</span><span class="numbers muted">${milliseconds(ms)}</span>
            <bdi class="peer mono muted">${result.action}</bdi><span class="numbers muted">${result.account}</span></p>
        <p class="answer-words">${retcodeWords(response && response.retcode)}</p>
        ${said && html`<p><span class="muted">${t("tester.said")}</span> <${Peer} text=${said} lines=${5} /></p>`}
        ${response && response.data === "(hidden)" && html`<${Bar}>${t("tester.hidden")}<//>`}
        ${parts > 0 && html`<p class="muted">${t("tester.parts", { n: parts })}</p>`}
        <${Json} value=${response} openDepth=${3} label=${t("tester.answer")} />
    </div>`;
}

/** @param {{restore: (entry: any) => void}} props */
export function History({ restore }) {
    const entries = history.value;
    return html`<section class="card section"><header class="row spread"><h2>${t("tester.history")}</h2>
            ${entries.length > 0 && html`<${Button} kind="quiet" icon="trash" onClick=${forgetAll}>${t("tester.forget")}<//>`}</header>
        ${entries.length ? html`<ul class="history">${entries.map((entry, index) => html`<li key=${`${entry.t}-${index}`}>
            <button type="button" class="history-entry" title=${dateTime(entry.t)} onClick=${() => restore(entry)}>
                <span class="row history-line"><bdi class="peer mono">${entry.action}</bdi><${Status} state=${entry.status} /></span>
                <span class="muted small numbers">${clock(entry.t)} · ${entry.account}${entry.ms === null ? "" : ` · ${milliseconds(entry.ms)}`}</span>
                ${entry.params && entry.params !== "{}" && html`<bdi class="peer mono one-line muted">${entry.params.slice(0, 200)}</bdi>`}
            </button></li>`)}</ul><p class="muted small">${t("tester.history_hint")}</p>`
        : html`<p class="muted">${t("tester.no_history")}</p>`}</section>`;
}
