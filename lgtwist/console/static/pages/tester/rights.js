// @ts-check
/** Whether a bot may use an action: asked of the server, which sends nothing. */

import { post } from "../../core/api.js";
import { errorText, reasonText, t } from "../../core/i18n.js";
import { Button, html, Problem, Select, Status, useEffect, useState } from "../../core/ui.js";

/** @param {{bots: string[], account: number | null, action: string}} props */
export function Rights({ bots, account, action }) {
    const [bot, setBot] = useState("");
    const [decision, setDecision] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    const chosen = bots.includes(bot) ? bot : bots[0] || "";
    useEffect(() => {
        setDecision(null);
        setError(null);
    }, [chosen, account, action]);
    const ask = async () => {
        setError(null);
        try {
            setDecision(await post("rights/try", { bot: chosen, account, action }));
        } catch (refusal) {
            setDecision(null);
            setError(refusal);
        }
    };
    const rule = decision && decision.rule;
    const words = rule && (rule.code === "quick_operation" && !(rule.args.actions || []).length ? t("tester.rule.quick_operation_none")
        : reasonText({ ...rule, args: { ...rule.args, actions: (rule.args.actions || []).join(", ") } }, "tester.rule"));
    return html`<section class="card section"><header><h2>${t("tester.rights")}</h2></header>
        <p class="muted small">${t("tester.rights_hint")}</p>
        <div class="rights-row"><${Select} label=${t("tester.as_bot")} value=${chosen} options=${bots.map((name) => [name, name])} onChange=${setBot} />
            <${Button} disabled=${!chosen || !action || account === null} onClick=${ask}>${t("tester.rights_try")}<//></div>
        <div role="status">${decision && html`<div class="rights-result"><${Status} state=${decision.allowed ? "good" : "bad"}>${t(decision.allowed ? "tester.allowed" : "tester.not_allowed")}<//>
            <bdi class="peer">${words}</bdi></div>`}</div>
        ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}</section>`;
}
