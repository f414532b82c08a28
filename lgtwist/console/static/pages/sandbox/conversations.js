// @ts-check
/** The left side: which sandbox, who I am, and the conversations. */

import { t } from "../../core/i18n.js";
import { shortTime } from "../../core/format.js";
import { Button, classes, html, Peer, Select } from "../../core/ui.js";
import { accounts, lastMessageOf, me, play, unreadOf, version, world } from "./store.js";
import { botName, chatName, nameOf, rankOf, summary } from "./names.js";
import { Avatar } from "./bubbles.js";
import { arrows, dialog, MenuButton } from "./menu.js";

/** The conversations: mine first, then those that others have. @param {any} now */
export function conversationsOf(now) {
    const mine = [];
    const others = [];
    const time = (key) => {
        const chat = now.chats.get(key);
        return chat && chat.lines.length ? chat.lines[chat.lines.length - 1].time : 0;
    };
    const groups = [...now.groups.values()].sort((a, b) => a.group_id - b.group_id);
    if (now.people.has(me.value)) mine.push(`p${me.value}`);
    for (const group of groups) (rankOf(group, me.value) >= 0 ? mine : others).push(`g${group.group_id}`);
    for (const person of now.people.values()) {
        const key = `p${person.user_id}`;
        if (person.user_id !== now.id && person.user_id !== me.value && now.chats.has(key)) others.push(key);
    }
    others.sort((a, b) => time(b) - time(a));
    return { mine, others };
}

/** @param {{chatKey: string, current: boolean, base: string, own: boolean}} props */
function Entry({ chatKey, current, base, own }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    const chat = now.chats.get(chatKey);
    const line = chat && chat.lines.length ? chat.lines[chat.lines.length - 1] : null;
    const last = chat ? lastMessageOf(chat) : null;
    const unread = current || !own ? 0 : unreadOf(chat);
    const group = chatKey[0] === "g" ? now.groups.get(Number(chatKey.slice(1))) : null;
    const name = own && chatKey[0] === "p" ? botName(now) : chatName(now, chatKey);
    const id = Number(chatKey.slice(1));
    const who = last ? (last.anonymous ? t("sandbox.anonymous") : nameOf(now, last.user_id, group)) : "";
    return html`<li><a data-item href=${`${base}/${chatKey}`} class=${classes("conversation", current && "current")} aria-current=${current ? "true" : undefined}>
        ${group ? html`<span class=${`avatar avatar-group avatar-${id % 8}`} aria-hidden="true">${[...name][0] || "#"}</span>` : html`<${Avatar} name=${name} id=${id} bot=${own} />`}
        <span class="conversation-text"><span class="conversation-head"><span class="conversation-name"><${Peer} text=${name} inline /></span>
            ${line && html`<span class="muted small">${shortTime(line.time)}</span>`}</span>
        <span class="conversation-last"><span class="muted small one-line grow"><bdi>${last ? `${group || last.from_bot ? `${who}: ` : ""}${summary(now, last)}` : group ? t("sandbox.people_count", { n: group.members.length }) : own ? t("sandbox.private_chat") : t("sandbox.private_of_other")}</bdi></span>
            ${unread > 0 && html`<span class="unread" aria-label=${t("sandbox.unread", { n: unread })}>${unread > 99 ? "99+" : unread}</span>`}</span></span></a></li>`;
}

/** @param {{account: number, chat: string}} props */
export function Conversations({ account, chat }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    const base = `#/sandbox/${account}`;
    const { mine, others } = conversationsOf(now);
    const people = [...now.people.values()].filter((each) => each.user_id !== now.id);
    const all = accounts.value || [];
    const open = [...now.requests.values()];
    const items = () => [
        { icon: "plus", label: t("sandbox.do.new_person"), run: () => { dialog.value = { kind: "person" }; } },
        { icon: "people", label: t("sandbox.do.people"), run: () => { dialog.value = { kind: "people" }; } },
        { icon: "plus", label: t("sandbox.do.new_group"), run: () => { dialog.value = { kind: "group" }; } },
        { icon: "chat", label: t("sandbox.do.ask"), run: () => { dialog.value = { kind: "ask" }; } },
        { icon: "bolt", label: t("sandbox.do.inject"), run: () => { dialog.value = { kind: "inject", chat }; } },
        { icon: "download", label: t("sandbox.do.save"), run: () => { dialog.value = { kind: "save" }; } },
        { icon: "back", label: t("sandbox.do.load"), run: () => { dialog.value = { kind: "load" }; } },
    ];
    return html`<nav class="conversations" aria-label=${t("sandbox.conversations")}>
        <div class="conversations-head">
            ${all.length > 1 && html`<${Select} label=${t("sandbox.account")} value=${account} options=${all.map((each) => [each.account, `${each.name || t("sandbox.title")} · ${each.account}`])}
                onChange=${(value) => { location.hash = `#/sandbox/${value}`; }} />`}
            <div class="who"><${Avatar} name=${nameOf(now, me.value)} id=${me.value} />
                <${Select} class="grow" label=${t("sandbox.i_am")} value=${me.value} options=${people.map((each) => [each.user_id, `${nameOf(now, each.user_id)} · ${each.user_id}`])}
                    onChange=${(value) => { const was = me.value; play(Number(value)); if (chat === `p${was}`) location.hash = `${base}/p${value}`; }} />
                <${MenuButton} label=${t("sandbox.world_menu")} icon="more" class="world-menu" items=${items} /></div>
            ${open.length > 0 && html`<${Button} class="wide" icon="info" onClick=${() => { dialog.value = { kind: "requests" }; }}>${t("sandbox.pending", { n: open.length })}<//>`}
        </div>
        <div class="conversations-list" onKeyDown=${arrows}><ul>${mine.map((key) => html`<${Entry} key=${key} chatKey=${key} current=${key === chat} base=${base} own />`)}</ul>
            ${others.length > 0 && html`<h3 class="muted small">${t("sandbox.of_others")}</h3><ul>${others.map((key) => html`<${Entry} key=${key} chatKey=${key} current=${key === chat} base=${base} own=${false} />`)}</ul>`}</div>
    </nav>`;
}
