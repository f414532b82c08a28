// @ts-check
/** The right side: the group or the person of the conversation. */

import { t } from "../../core/i18n.js";
import { dateTime, now as clockNow, shortTime } from "../../core/format.js";
import { Button, classes, html, Peer, useRef } from "../../core/ui.js";
import { act, me, mediaUrl, uploadFile, version, world } from "./store.js";
import { nameOf, rankOf } from "./names.js";
import { attempt, Avatar } from "./bubbles.js";
import { FileCard } from "./segments.js";
import { arrows, dialog, MenuButton } from "./menu.js";
import { mention } from "./composer.js";

const HONORS = ["talkative", "performer", "emotion"];

/** Who acts as an admin on a member: I where my rank is high enough, else the owner. @param {any} group @param {number} target */
function operatorOf(group, target) {
    if (rankOf(group, me.peek()) > 0 && rankOf(group, me.peek()) > rankOf(group, target)) return me.peek();
    const owner = group.members.find((each) => each.role === "owner");
    return owner ? owner.user_id : undefined;
}

/** @param {any} now @param {any} group @param {any} member @param {string} chat @param {(key: string) => void} focusComposer */
function memberItems(now, group, member, chat, focusComposer) {
    const user = member.user_id;
    const group_id = group.group_id;
    const owner = member.role === "owner";
    const operator_id = operatorOf(group, user);
    const as = (label) => (operator_id === me.peek() ? label : t("sandbox.as", { what: label, name: nameOf(now, operator_id, group) }));
    const name = nameOf(now, user, group);
    const banned = (member.banned_until || 0) > clockNow.peek();
    const go = (verb, params) => () => attempt(() => act(verb, { group_id, user_id: user, ...params }));
    const inGroup = rankOf(group, me.peek()) >= 0;
    return [
        inGroup && { icon: "pulse", label: t("sandbox.do.poke"), run: () => attempt(() => act("poke", { user_id: me.peek(), target_id: user, group_id })) },
        inGroup && { icon: "person", label: t("sandbox.do.mention"), run: () => { mention(chat, user); focusComposer(chat); } },
        { icon: "edit", label: t("sandbox.do.card"), run: () => { dialog.value = { kind: "text", title: t("sandbox.card_of", { name }), label: t("sandbox.card"), value: member.card || "", run: (text) => act("card", { group_id, user_id: user, card: text }) }; } },
        { icon: "edit", label: t("sandbox.do.title"), run: () => { dialog.value = { kind: "text", title: t("sandbox.title_of", { name }), label: t("sandbox.member_title"), value: member.title || "", run: (text) => act("title", { group_id, user_id: user, title: text }) }; } },
        !owner && { icon: "person", label: t(member.role === "admin" ? "sandbox.do.admin_off" : "sandbox.do.admin"), run: go("admin", { enable: member.role !== "admin" }) },
        ...HONORS.map((honor_type) => ({ icon: "plus", label: t("sandbox.do.honor", { honor: t(`sandbox.honor.${honor_type}`) }), run: go("honor", { honor_type }) })),
        inGroup && { icon: "plus", label: t("sandbox.do.lucky_king"), run: () => attempt(() => act("lucky_king", { group_id, user_id: me.peek(), target_id: user })) },
        banned && { icon: "play", label: as(t("sandbox.do.unban")), run: go("ban", { duration: 0, operator_id }) },
        !owner && { icon: "pause", danger: true, label: as(t("sandbox.do.ban_10")), run: go("ban", { duration: 600, operator_id }) },
        !owner && { icon: "pause", danger: true, label: as(t("sandbox.do.ban_60")), run: go("ban", { duration: 3600, operator_id }) },
        { icon: "logout", label: t("sandbox.do.leave"), run: go("leave", {}) },
        !owner && { icon: "trash", danger: true, label: as(t("sandbox.do.kick")), run: () => { dialog.value = { kind: "confirm", title: t("sandbox.kick_sure", { name, id: user }), action: t("sandbox.do.kick"), run: () => act("kick", { group_id, user_id: user, operator_id }) }; } },
    ];
}

/** @param {{group: any, chat: string, focusComposer: (key: string) => void}} props */
function GroupCard({ group, chat, focusComposer }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    const picker = useRef(/** @type {any} */ (null));
    const group_id = group.group_id;
    const mine = rankOf(group, me.value) >= 0;
    const files = [...now.files.values()].filter((each) => each.group_id === group_id).reverse();
    const order = { owner: 0, admin: 1, member: 2 };
    const members = group.members.slice().sort((a, b) => order[a.role || "member"] - order[b.role || "member"]);
    const operator_id = operatorOf(group, 0);
    const send = async (event) => {
        const input = event.currentTarget;
        const chosen = [...input.files];
        for (const file of chosen) await attempt(() => uploadFile(group_id, me.peek(), file));
        input.value = "";
    };
    return html`<section class="section"><header><h2 class="grow"><${Peer} text=${group.group_name} lines=${2} /></h2>
            <${Button} kind="quiet" icon="edit" label=${t("sandbox.do.rename")} onClick=${() => { dialog.value = { kind: "text", title: t("sandbox.do.rename"), label: t("sandbox.group_name"), value: group.group_name, run: (text) => act("rename", { group_id, group_name: text }) }; }} /></header>
        <p class="muted small mono">${group_id}</p>
        <div class="row"><${Button} icon=${group.whole_ban ? "play" : "pause"} aria-pressed=${group.whole_ban ? "true" : "false"}
                onClick=${() => attempt(() => act("ban", { group_id, duration: group.whole_ban ? 0 : 3600, operator_id }))}>${t("sandbox.do.whole_ban")}<//>
            <${Button} icon="plus" onClick=${() => { dialog.value = { kind: "join", group: group_id }; }}>${t("sandbox.do.join")}<//></div></section>
    <section class="section"><header><h3 class="grow">${t("sandbox.members")} <span class="muted">${group.members.length}</span></h3></header>
        <ul class="members" onKeyDown=${arrows}>${members.map((member) => {
            const name = nameOf(now, member.user_id, group);
            const banned = (member.banned_until || 0) > clockNow.value;
            return html`<li key=${member.user_id} class="member"><${Avatar} name=${name} id=${member.user_id} bot=${member.user_id === now.id} />
                <span class="member-text"><span class="row"><span class="member-name"><${Peer} text=${name} inline /></span>
                    ${member.user_id === now.id && html`<span class="chip accent">${t("sandbox.bot")}</span>`}
                    ${member.user_id === me.value && html`<span class="chip">${t("sandbox.me")}</span>`}
                    ${member.role && member.role !== "member" && html`<span class=${classes("chip", member.role === "owner" ? "warning" : "good")}>${t(`sandbox.role.${member.role}`)}</span>`}
                    ${member.title && html`<span class="chip"><${Peer} text=${member.title} inline /></span>`}</span>
                <span class="muted small">${member.user_id}${banned ? html` · <span class="banned" title=${dateTime(member.banned_until)}>${t("sandbox.banned_until", { time: shortTime(member.banned_until) })}</span>` : ""}</span></span>
                <${MenuButton} data-item label=${t("sandbox.member_menu", { name })} items=${() => memberItems(now, group, member, chat, focusComposer)} /></li>`;
        })}</ul></section>
    <section class="section"><header><h3 class="grow">${t("sandbox.files")} <span class="muted">${files.length}</span></h3>
            ${mine && html`<${Button} kind="quiet" icon="plus" label=${t("sandbox.do.upload")} onClick=${() => picker.current.click()} />`}
            <input type="file" hidden multiple ref=${picker} aria-hidden="true" data-picker="group" onChange=${send} /></header>
        ${files.length ? html`<ul class="stack">${files.slice(0, 100).map((file) => html`<li key=${file.file_id}><${FileCard} name=${file.name} size=${file.size} url=${mediaUrl({ file: file.media })} /></li>`)}</ul>`
            : html`<p class="muted small">${t("sandbox.no_files")}</p>`}</section>
    <section class="section danger-zone"><${Button} icon="trash" onClick=${() => { dialog.value = { kind: "confirm", title: t("sandbox.forget_sure", { name: group.group_name.slice(0, 60), id: group_id }), action: t("sandbox.do.forget_group"), run: () => act("forget_group", { group_id }) }; }}>${t("sandbox.do.forget_group")}<//></section>`;
}

/** @param {{person: any}} props */
function PersonCard({ person }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    const user_id = person.user_id;
    const groups = [...now.groups.values()].filter((group) => rankOf(group, user_id) >= 0);
    return html`<section class="section"><div class="person-head"><${Avatar} name=${nameOf(now, user_id)} id=${user_id} /><div class="grow"><h2><${Peer} text=${person.nickname} lines=${2} /></h2>
            <p class="muted small mono">${user_id}</p></div><${Button} kind="quiet" icon="edit" label=${t("sandbox.do.edit_person")} onClick=${() => { dialog.value = { kind: "person", person }; }} /></div>
        <p><span class=${classes("chip", person.friend && "good")}>${t(person.friend ? "sandbox.friend" : "sandbox.no_friend")}</span>
            ${person.remark && html` <span class="muted small"><${Peer} text=${person.remark} inline /></span>`}</p>
        <div class="row">${!person.friend && html`<${Button} kind="primary" onClick=${() => attempt(() => act("befriend", { user_id }))}>${t("sandbox.do.befriend")}<//>
            <${Button} onClick=${() => { dialog.value = { kind: "ask", user: user_id }; }}>${t("sandbox.do.ask_friend")}<//>`}
            <${Button} onClick=${() => attempt(() => act("poke", { user_id }))}>${t("sandbox.do.poke_bot")}<//></div></section>
    ${groups.length > 0 && html`<section class="section"><header><h3>${t("sandbox.groups_of", { n: groups.length })}</h3></header><ul>${groups.map((group) => html`<li key=${group.group_id}><a class="link-button" href=${`#/sandbox/${now.id}/g${group.group_id}`}><${Peer} text=${group.group_name} inline /></a></li>`)}</ul></section>`}
    <section class="section danger-zone"><${Button} icon="trash" onClick=${() => { dialog.value = { kind: "confirm", title: t("sandbox.forget_sure", { name: nameOf(now, user_id), id: user_id }), action: t("sandbox.do.forget_person"), run: () => act("forget_person", { user_id }) }; }}>${t("sandbox.do.forget_person")}<//></section>`;
}

/** @param {{chat: string, focusComposer: (key: string) => void}} props */
export function Details({ chat, focusComposer }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    const id = Number(chat.slice(1));
    const group = chat[0] === "g" ? now.groups.get(id) : null;
    const person = chat[0] === "p" ? now.people.get(id) : null;
    return html`<div class="details-body">${group ? html`<${GroupCard} group=${group} chat=${chat} focusComposer=${focusComposer} />` : person ? html`<${PersonCard} person=${person} />` : html`<p class="muted">${t("sandbox.group_gone")}</p>`}</div>`;
}
