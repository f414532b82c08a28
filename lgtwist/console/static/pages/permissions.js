// @ts-check
/** What each bot may do and see: in a sentence, by groups of actions, tried out, and changed. */

import { get } from "../core/api.js";
import { saves } from "../core/configuration.js";
import { errorText, t } from "../core/i18n.js";
import { duration, number } from "../core/format.js";
import { subscribe } from "../core/stream.js";
import { Button, classes, Empty, html, Icon, Peer, Problem, signal, useEffect, useState } from "../core/ui.js";
import { Editor } from "./permissions/editor.js";
import { Matrix } from "./permissions/matrix.js";
import { risksOf, sentenceOf } from "./permissions/sentence.js";
import { TryOut } from "./permissions/tryout.js";

/** Milliseconds between two looks at what is left of the rates. */
const LOOK_EACH = 3000;

/** The catalogue of actions, which does not change while the service runs. */
const catalogue = signal(/** @type {any} */ (null));

/** What is left of a rate now. @param {{rate: any}} props */
function RateLeft({ rate }) {
    const used = rate.left === 0;
    const text = t("permissions.left", { left: number(rate.left), most: number(rate.most) });
    return html`<div class="rate-left"><div class="row small"><span class=${used ? "tone-warning" : "muted"}>${text}</span>
            ${used && rate.wait > 0 && html`<span class="muted">${t("permissions.wait", { span: duration(Math.max(1, rate.wait)) })}</span>`}</div>
        <progress class=${classes("meter", rate.left < rate.most / 4 && "used")} max=${rate.most} value=${rate.left} aria-label=${text}></progress></div>`;
}

/** The lists as they stand in the configuration. @param {{bot: any}} props */
function Lists({ bot }) {
    const { deny = {}, private: wanted = true, roles = null, any_of: anyOf } = bot.conditions || {};
    const some = (list) => (list && list.length ? list : null);
    const lists = [["allow", bot.allow], ["deny", some(bot.deny)], ["accounts", bot.accounts],
        ["events.post_type", bot.events.post_type], ["events.group_id", bot.events.group_id], ["events.user_id", bot.events.user_id],
        ["events.deny.group_id", some(deny.group_id)], ["events.deny.user_id", some(deny.user_id)], ["events.private", wanted === false ? ["false"] : null], ["events.roles", roles],
        ...Object.entries(anyOf || {}).map(([key, value]) => [`events.any_of.${key}`, Array.isArray(value) ? value : [String(value)]]),
        ["filter", bot.filter ? [t(`filter.grammar.${bot.filter}`)] : null]].filter(([, list]) => list);
    if (!lists.length) return null;
    return html`<details class="more"><summary><${Icon} name="right" />${t("permissions.lists")}</summary>
        <dl class="patterns">${lists.map(([key, list]) => html`<div><dt class="mono">${key}</dt><dd>${list.length ? list.map((each) => html`<span class="chip mono"><bdi class="peer">${each}</bdi></span>`)
            : html`<span class="muted">[ ]</span>`}</dd></div>`)}</dl></details>`;
}

/** @param {{bot: any, edit: () => void}} props */
function BotCard({ bot, edit }) {
    const risks = risksOf(bot);
    return html`<article class="card permit-card" aria-label=${`${t("overview.bot")} ${bot.bot}`}>
        <header><div class="card-title"><h3><${Peer} inline text=${bot.bot} /></h3></div>
            ${!bot.cut && html`<${Button} icon="edit" label=${t("permissions.edit_of", { bot: bot.bot })} onClick=${edit}>${t("permissions.edit")}<//>`}</header>
        <p class="permit-sentence"><bdi class="peer">${sentenceOf(bot)}</bdi></p>
        ${risks.map((risk) => html`<div class="reason warning"><${Icon} name="warning" /><span>${risk}</span></div>`)}
        ${bot.rate && html`<${RateLeft} rate=${bot.rate} />`}
        <${Lists} bot=${bot} />
        ${bot.cut && html`<p class="muted small">${t("permissions.cut")}</p>`}
    </article>`;
}

export default function Page() {
    const [rights, setRights] = useState(/** @type {any} */ (null));
    const [accounts, setAccounts] = useState(/** @type {any[]} */ ([]));
    const [error, setError] = useState(/** @type {any} */ (null));
    const [editing, setEditing] = useState(/** @type {any} */ (null));
    const saved = saves.value;
    useEffect(() => {
        let alive = true;
        let asked = 0;
        let shown = 0;
        const load = async () => {
            asked += 1;
            const mine = asked;
            try {
                if (!catalogue.peek()) catalogue.value = await get("actions");
                const answer = await get("permissions");
                if (!alive || mine < shown) return;
                shown = mine;
                setRights(answer);
                setError(null);
            } catch (failure) {
                if (alive) setError(failure);
            }
        };
        const take = (state) => setAccounts(state.accounts);
        load();
        get("state").then((state) => alive && take(state), () => {});
        const stop = subscribe({ topic: "links" }, { links: (state) => { take(state); load(); } });
        const timer = setInterval(() => document.hidden || load(), LOOK_EACH);
        return () => {
            alive = false;
            stop();
            clearInterval(timer);
        };
    }, [saved]);
    const title = html`<h1>${t("permissions.title")}</h1>`;
    if (!rights) {
        return html`${title}${error ? html`<${Problem} error=${error} text=${errorText(error)} />` : html`<p role="status" class="muted loading">${t("permissions.loading")}</p>`}`;
    }
    if (!rights.bots.length) return html`${title}<div class="card"><${Empty} icon="plug" title=${t("overview.no_bots")}><p class="what-for">${t("permissions.no_bots")}</p><//></div>`;
    const known = catalogue.value || { groups: [], actions: [] };
    return html`${title}
        ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}
        <section class="section" aria-labelledby="bots-title"><h2 id="bots-title" class="hidden">${t("overview.bots")}</h2>
            <div class="cards">${rights.bots.map((bot) => html`<${BotCard} key=${bot.bot} bot=${bot} edit=${() => setEditing(bot)} />`)}</div>
            ${rights.more > 0 && html`<p class="muted small">${t("overview.left_out", { n: rights.more })}</p>`}
        </section>
        <${TryOut} bots=${rights.bots} accounts=${accounts} known=${known} />
        <${Matrix} rights=${rights} known=${known} />
        ${editing && html`<${Editor} bot=${editing} known=${known} onClose=${() => setEditing(null)} />`}`;
}
