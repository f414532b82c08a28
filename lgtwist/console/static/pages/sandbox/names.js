// @ts-check
/** Names and sentences of what is in a sandbox. What they return is text. */

import { hasWords, t } from "../../core/i18n.js";
import { duration } from "../../core/format.js";

/** @param {any} text @param {number} most */
export function cut(text, most) {
    const plain = String(text === null || text === undefined ? "" : text).slice(0, most * 2);
    const whole = [...plain];
    return whole.length > most ? `${whole.slice(0, most).join("")}…` : plain;
}

/** The direction marks that would turn round what stands behind a name. */
const MARKS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069\u0000-\u001f]/g;

/** The name of a person, in a group with the card. @param {any} world @param {number} user @param {any} [group] */
export function nameOf(world, user, group) {
    const member = group && (group.members || []).find((each) => each.user_id === user);
    const person = world.people.get(user);
    const name = (member && member.card) || (person && person.nickname) || "";
    return cut(name.replace(MARKS, "").trim(), 40) || (user === 80000000 ? t("sandbox.anonymous") : String(user));
}

/** @param {any} world @param {string} key */
export function chatName(world, key) {
    const id = Number(key.slice(1));
    if (key[0] === "g") {
        const group = world.groups.get(id);
        return group ? cut(String(group.group_name || id).replace(MARKS, ""), 60) : String(id);
    }
    return nameOf(world, id);
}

/** @param {any} world */
export const botName = (world) => nameOf(world, world.id);

/** A face's name: of the words, or the character where its number is one of Unicode's. @param {any} id */
export function faceName(id) {
    if (hasWords(`sandbox.face.${id}`)) return t(`sandbox.face.${id}`);
    const code = Number(id);
    if (code >= 8000 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff)) return String.fromCodePoint(code);
    return `#${cut(id, 12)}`;
}

/** A message in one line. @param {any} world @param {any} message */
export function summary(world, message) {
    if (message.recalled) return t("sandbox.recalled_short");
    const segments = message.message && message.message.length ? message.message : [{ type: "text", data: { text: message.raw_message || "" } }];
    return cut(segments.slice(0, 20).map((segment) => segmentText(world, segment, message)).join("").replace(/\s+/g, " ").trim(), 80);
}

/** @param {any} world @param {any} segment @param {any} message */
export function segmentText(world, segment, message) {
    const data = segment.data || {};
    if (segment.type === "text") return cut(data.text, 200);
    if (segment.type === "at") {
        if (data.qq === "all") return `@${t("sandbox.at_all")} `;
        return `@${nameOf(world, Number(data.qq), message && message.group_id ? world.groups.get(message.group_id) : null)} `;
    }
    if (segment.type === "face") return `[${faceName(data.id)}]`;
    if (segment.type === "reply") return "";
    const key = `sandbox.part.${segment.type}`;
    return `[${hasWords(key) ? t(key) : cut(segment.type, 30)}]`;
}

/** The sentence of an event that is no message. @param {any} world @param {any} event */
export function eventText(world, event) {
    const group = event.group_id ? world.groups.get(event.group_id) : null;
    const user = nameOf(world, event.user_id, event.notice_type === "group_card" ? null : group);
    const target = nameOf(world, event.target_id, group);
    const operator = nameOf(world, event.operator_id, group);
    const type = event.notice_type;
    let code = type;
    if (type === "notify") code = event.sub_type;
    else if (type === "group_ban") code = event.user_id ? event.sub_type : `all_${event.sub_type}`;
    else if (type === "group_increase" || type === "group_decrease" || type === "group_admin" || type === "essence") code = `${type}.${event.sub_type}`;
    const key = `sandbox.notice.${code}`;
    if (event.post_type !== "notice" || !hasWords(key)) {
        return t("sandbox.notice.other", { type: cut([event.post_type, event.notice_type || event.meta_event_type || event.message_type, event.sub_type].filter(Boolean).join("."), 90) });
    }
    const file = event.file || {};
    return t(key, {
        user, target, operator, title: cut(event.title, 60), name: cut(event.name_new || file.name, 60), card: cut(event.card_new, 60),
        span: duration(Number(event.duration) || 0), sender: nameOf(world, event.sender_id, group),
        honor: hasWords(`sandbox.honor.${event.honor_type}`) ? t(`sandbox.honor.${event.honor_type}`) : cut(event.honor_type, 30),
    });
}

/** @param {any} world @param {any} request */
export function requestText(world, request) {
    const user = nameOf(world, request.user_id);
    const code = request.request_type === "friend" ? "friend" : request.sub_type || "add";
    return t(`sandbox.request.${code}`, { user, group: request.group_id ? chatName(world, `g${request.group_id}`) : "" });
}

/** The rank of somebody in a group: 0 member, 1 admin, 2 owner; -1 for none. @param {any} group @param {number} user */
export function rankOf(group, user) {
    const member = group && (group.members || []).find((each) => each.user_id === user);
    return member ? Math.max(0, ["member", "admin", "owner"].indexOf(member.role || "member")) : -1;
}
