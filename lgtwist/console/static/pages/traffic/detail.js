// @ts-check
/** One row of the live traffic with its whole JSON, as the server shows it (without secrets). */

import { get } from "../../core/api.js";
import { errorText, t } from "../../core/i18n.js";
import { bytes, dateTime } from "../../core/format.js";
import { perTab } from "../../core/store.js";
import { Bar, Button, Dialog, html, Json, Problem, useEffect, useState } from "../../core/ui.js";
import { Answer, typeWord } from "./rows.js";

/** Open the action tester with an action. @param {number} account @param {string} action @param {any} params */
export function sendAgain(account, action, params) {
    perTab.set("tester.load", JSON.stringify({ account, action, params }));
    location.hash = "#/tester";
}

/** A value as the server shows it, which may be that it is too large or cannot be read. @param {{value: any, label: string}} props */
function Value({ value, label }) {
    const keys = value && typeof value === "object" ? Object.keys(value) : [];
    if (keys.length === 1 && (keys[0] === "too_large" || keys[0] === "unreadable") && typeof value[keys[0]] === "number") {
        return html`<${Bar} kind="warning">${t(keys[0] === "too_large" ? "traffic.too_large" : "traffic.unreadable", { size: bytes(value[keys[0]]) })}<//>`;
    }
    return html`<${Json} value=${value} openDepth=${3} label=${label} />`;
}

/** @param {{item: any, hidden: boolean, onClose: () => void}} props */
export function Detail({ item, hidden, onClose }) {
    const { row } = item;
    const [whole, setWhole] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    const [shown, setShown] = useState(!hidden);
    useEffect(() => {
        const request = new AbortController();
        get(`traffic/${row.n}`, undefined, { signal: request.signal }).then((answer) => {
            // After a restart of the service another row may have this number.
            const same = answer.row && answer.row.t === row.t && answer.row.account === row.account;
            setWhole(same ? answer : null);
            setError(same ? null : { code: "gone" });
        }, (refusal) => !request.signal.aborted && setError(refusal));
        return () => request.abort();
    }, [row.n, item.answer]);
    const action = row.kind === "action";
    const gone = error && error.code === "gone";
    const title = action ? row.action : row.kind === "message" ? typeWord(row) : `${t(`traffic.one.${row.kind}`)}: ${typeWord(row)}`;
    const again = action && whole && shown && html`<${Button} kind="primary" icon="bolt" onClick=${() => sendAgain(row.account, whole.action, whole.params)}>${t("traffic.again")}<//>`;
    return html`<${Dialog} wide title=${html`<bdi class="peer">${title}</bdi>`} onClose=${onClose} actions=${html`${again}<${Button} onClick=${onClose}>${t("ui.close")}<//>`}>
        <div class="stack">
            <p class="row muted small"><span>${dateTime(row.t)}</span><span class="numbers">${t("traffic.of_account", { account: row.account })}</span>
                ${row.bot && html`<span>${t("traffic.of_bot", { bot: "" })}<bdi class="peer">${row.bot}</bdi></span>`}<span>${bytes(row.size)}</span></p>
            ${action && html`<p class="row"><${Answer} item=${item} hidden=${!shown} /></p>`}
            ${!shown && html`<${Bar} action=${html`<${Button} onClick=${() => setShown(true)}>${t("traffic.show_this")}<//>`}>${t("traffic.hidden_now")}<//>`}
            ${gone && html`<${Bar} kind="warning">${t("traffic.gone")}<//>`}
            ${error && !gone && html`<${Problem} error=${error} text=${errorText(error)} />`}
            ${gone && shown && html`<${Json} value=${item.answer ? { row, answer: item.answer } : { row }} openDepth=${5} />`}
            ${!whole && !error && html`<p class="muted" role="status">${t("traffic.loading")}</p>`}
            ${whole && shown && (action
                ? html`<section class="stack"><h3>${t("traffic.params")}</h3><${Value} value=${whole.params} label=${t("traffic.params")} /></section>
                    ${whole.response !== null && html`<section class="stack"><h3>${t("traffic.response")}</h3><${Value} value=${whole.response} label=${t("traffic.response")} /></section>`}`
                : html`<${Value} value=${whole.event} label=${t("traffic.event")} />`)}
        </div>
    <//>`;
}
