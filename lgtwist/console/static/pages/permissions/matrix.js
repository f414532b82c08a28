// @ts-check
/** Which groups of actions each bot may use: wholly, partly or not. */

import { number } from "../../core/format.js";
import { language, t } from "../../core/i18n.js";
import { Button, Dialog, html, Peer, Status, useState } from "../../core/ui.js";

/** @param {any} entry */
const words = (entry) => entry[language.value] || entry.en || "";

/** The look and the word of a cell. @param {any} count */
function look(count) {
    if (count.allowed === count.all) return ["good", t("permissions.all")];
    return count.allowed ? ["partly", `${number(count.allowed)} / ${number(count.all)}`] : ["bad", t("permissions.none")];
}

/** The actions of a group, and which of them the bot may use. @param {{cell: any, known: any, onClose: () => void}} props */
function Names({ cell, known, onClose }) {
    const { bot, group, count } = cell;
    const entries = known.actions.filter((entry) => entry.group === group.name);
    const allowed = (name) => (count.only ? count.only.includes(name) : count.but ? !count.but.includes(name) : count.allowed > 0);
    const list = (title, state, shown) => shown.length > 0 && html`<section class="section"><h3><${Status} state=${state}>${title} (${number(shown.length)})<//></h3>
        <ul class="matrix-names">${shown.map((entry) => html`<li key=${entry.name}><span class="mono">${entry.name}</span><span class="muted small">${words(entry)}</span></li>`)}</ul></section>`;
    return html`<${Dialog} wide title=${html`<bdi class="peer">${bot.bot}</bdi> · ${words(group)}`} onClose=${onClose} actions=${html`<${Button} onClick=${onClose}>${t("ui.close")}<//>`}>
        <div class="stack" tabindex="0" role="group" aria-label=${words(group)}>${list(t("permissions.allowed"), "good", entries.filter((entry) => allowed(entry.name)))}
            ${list(t("permissions.not_allowed"), "bad", entries.filter((entry) => !allowed(entry.name)))}</div><//>`;
}

/** @param {{rights: any, known: any}} props */
export function Matrix({ rights, known }) {
    const [cell, setCell] = useState(/** @type {any} */ (null));
    return html`<section class="section" aria-labelledby="matrix-title">
        <header><h2 id="matrix-title">${t("permissions.matrix")}</h2><span class="muted small">${t("permissions.matrix_hint")}</span></header>
        <div class="card matrix-box" tabindex="0" role="region" aria-labelledby="matrix-title"><table class="matrix">
            <thead><tr><td></td>${rights.bots.map((bot) => html`<th scope="col" class="names" key=${bot.bot}><${Peer} inline text=${bot.bot} /></th>`)}</tr></thead>
            <tbody>${rights.groups.map((group) => html`<tr key=${group.name}><th scope="row">${words(group)}</th>
                ${rights.bots.map((bot) => {
                    const count = bot.groups.find((each) => each.group === group.name) || { allowed: 0, all: 0 };
                    const [state, text] = look(count);
                    return html`<td key=${bot.bot}><button type="button" class="matrix-cell" aria-label=${t("permissions.cell", { bot: bot.bot, group: words(group), what: text })}
                        onClick=${() => setCell({ bot, group, count })}><${Status} state=${state}>${text}<//></button></td>`;
                })}</tr>`)}</tbody></table></div>
        ${cell && html`<${Names} cell=${cell} known=${known} onClose=${() => setCell(null)} />`}
    </section>`;
}
