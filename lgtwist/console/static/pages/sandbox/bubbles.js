// @ts-check
/** A conversation: bubbles, notices and requests, the newest at the bottom. */

import { errorText, language, t } from "../../core/i18n.js";
import { dateTime, duration, milliseconds, shortTime } from "../../core/format.js";
import { Button, classes, html, Icon, Peer, useEffect, useLayoutEffect, useRef, useState } from "../../core/ui.js";
import { act, loadWhole, markSeen, me, mediaUrl, pending, version, world } from "./store.js";
import { eventText, faceName, nameOf, rankOf, requestText, summary } from "./names.js";
import { FileCard, Segment } from "./segments.js";
import { dialog, menu, MenuButton, notice } from "./menu.js";
import { mention, setReply } from "./composer.js";
import { selection, toggleSelected } from "./selection.js";

/** Lines that are painted at first, and at each time more. */
const AT_ONCE = 100;
/** Seconds between two lines above which the time stands between them. */
const PAUSE = 300;
/** Reactions that the menu offers. */
const REACTIONS = ["76", "66", "124", "14", "178", "5", "201", "277", "63"];

const HUES = 8;

/** A picture of somebody: the first letter on a colour. @param {{name: string, id: number, bot?: boolean}} props */
export function Avatar({ name, id, bot }) {
    const letter = [...name][0] || "?";
    return html`<span class=${classes("avatar", bot ? "avatar-bot" : `avatar-${id % HUES}`)} aria-hidden="true">${bot ? html`<${Icon} name="bolt" />` : letter.toUpperCase()}</span>`;
}

/** Do something, and say what the server refuses. @param {() => Promise<any>} action */
export async function attempt(action) {
    try {
        notice.value = "";
        return await action();
    } catch (error) {
        notice.value = errorText(error);
        return undefined;
    }
}

/** What can be done with a message. @param {any} now @param {any} message @param {string} key @param {(text: string) => void} focusComposer */
function itemsOf(now, message, key, focusComposer) {
    const group = message.group_id ? now.groups.get(message.group_id) : null;
    const mine = message.user_id === me.peek();
    const above = rankOf(group, me.peek()) > rankOf(group, message.user_id);
    const admin = rankOf(group, me.peek()) > 0;
    const id = message.message_id;
    return [
        { icon: "reply", label: t("sandbox.do.reply"), run: () => { setReply(key, id); focusComposer(key); } },
        { icon: "plus", label: t("sandbox.do.react"), run: () => openReactions(message) },
        group && { icon: "person", label: t("sandbox.do.mention"), run: () => { mention(key, message.user_id); focusComposer(key); } },
        { icon: "pulse", label: t("sandbox.do.poke"), run: () => attempt(() => act("poke", { user_id: me.peek(), target_id: message.user_id, group_id: message.group_id || null })) },
        { icon: "check", label: t("sandbox.do.select"), run: () => toggleSelected(key, id) },
        group && admin && { icon: "play", label: t(message.essence ? "sandbox.do.essence_off" : "sandbox.do.essence"), run: () => attempt(() => act("essence", { user_id: me.peek(), message_id: id, set: !message.essence })) },
        (mine || above) && { icon: "trash", danger: true, label: t("sandbox.do.recall"), run: () => attempt(() => act("recall", { user_id: me.peek(), message_id: id })) },
        { icon: "grid", label: t("sandbox.do.json"), run: () => { dialog.value = { kind: "json", title: t("sandbox.json_of", { id }), value: message }; } },
    ];
}

/** @param {any} message */
function openReactions(message) {
    const anchor = document.getElementById(`more-${message.message_id}`);
    if (!anchor) return;
    setTimeout(() => {
        menu.value = {
            anchor, row: true, label: t("sandbox.do.react"),
            items: REACTIONS.map((id) => ({ label: faceName(id), run: () => react(message, id) })),
        };
    });
}

/** Add my reaction, or take it away. @param {any} message @param {string} emoji */
function react(message, emoji) {
    const mine = ((message.likes || {})[emoji] || []).includes(me.peek());
    return attempt(() => act("react", { user_id: me.peek(), message_id: message.message_id, emoji_id: emoji, set: !mine }));
}

/** @param {{message: any, head: boolean, after: number | null, chat: string, onJump: (id: number) => void, focusComposer: any}} props */
function Bubble({ message, head, after, chat, onJump, focusComposer }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    const group = message.group_id ? now.groups.get(message.group_id) : null;
    const mine = message.user_id === me.value;
    const id = message.message_id;
    const name = nameOf(now, message.user_id, group);
    const member = group && group.members.find((each) => each.user_id === message.user_id);
    const answered = now.answered.get(id);
    const likes = Object.entries(message.likes || {}).filter(([, who]) => who.length);
    const chosen = selection.value.chat === chat ? selection.value.ids : null;
    const only = message.message && message.message.length === 1 && ["image", "video", "forward"].includes(message.message[0].type);
    return html`<article class=${classes("chat-line bubble-line", mine && "mine", message.from_bot && "from-bot", head && "head")} id=${`message-${id}`} tabindex="-1"
            aria-label=${t("sandbox.says", { name: message.anonymous || name, text: summary(now, message) })}>
        ${chosen && html`<label class="check choose"><input type="checkbox" checked=${chosen.includes(id)} onChange=${() => toggleSelected(chat, id)} />
            <span class="hidden">${t("sandbox.do.select")}</span></label>`}
        <div class="avatar-box">${head && html`<${Avatar} name=${name} id=${message.user_id} bot=${message.from_bot} />`}</div>
        <div class="bubble-column">
            ${head && html`<div class="bubble-head"><span class="bubble-name"><${Peer} text=${name} inline /></span>
                ${message.from_bot && html`<span class="chip accent">${t("sandbox.bot")}</span>`}
                ${member && member.role && member.role !== "member" && html`<span class=${classes("chip", member.role === "owner" ? "warning" : "good")}>${t(`sandbox.role.${member.role}`)}</span>`}
                ${member && member.title && html`<span class="chip"><${Peer} text=${member.title} inline /></span>`}
                ${message.anonymous && html`<span class="chip">${t("sandbox.anonymous")}</span>`}</div>`}
            <div class="bubble-row"><div class=${classes("bubble", only && "bare-bubble")}>
                ${message.shortened ? html`<${Peer} text=${message.raw_message} lines=${10} /><${Button} onClick=${() => attempt(() => loadWhole(id))}>${t("sandbox.load_whole")}<//>`
                    : message.message.map((segment, index) => html`<${Segment} key=${index} segment=${segment} message=${message} onJump=${onJump} />`)}
            </div>
            <${MenuButton} id=${`more-${id}`} label=${t("sandbox.more_of", { id })} class="bubble-more" items=${() => itemsOf(now, message, chat, focusComposer)} /></div>
            ${(likes.length > 0 || message.essence) && html`<div class="reactions">
                ${message.essence && html`<span class="chip warning">${t("sandbox.essence")}</span>`}
                ${likes.map(([emoji, who]) => html`<button type="button" key=${emoji} class="reaction" aria-pressed=${who.includes(me.value) ? "true" : "false"}
                    title=${who.map((each) => nameOf(now, each, group)).join(", ").slice(0, 300)} aria-label=${t("sandbox.reaction", { name: faceName(emoji), n: who.length })}
                    onClick=${() => react(message, emoji)}><span>${faceName(emoji)}</span> <b>${who.length}</b></button>`)}</div>`}
            ${answered ? html`<p class="answered muted small">${answered.ms === null ? t("sandbox.said_by", { bot: answered.bot || "" })
                : t("sandbox.answered_by", { bot: answered.bot || "", time: milliseconds(answered.ms) })}</p>`
                : after !== null && html`<p class="answered muted small">${after < 1 ? t("sandbox.answered_soon") : t("sandbox.answered_after", { time: duration(after) })}</p>`}
        </div></article>`;
}

/** @param {{sending: any}} props */
function PendingBubble({ sending }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    return html`<article class="chat-line bubble-line mine head pending"><div class="avatar-box"><${Avatar} name=${nameOf(now, sending.user)} id=${sending.user} /></div>
        <div class="bubble-column"><div class="bubble-row"><div class="bubble">${sending.message.map((segment, index) => (segment.blob
            ? html`<${Preview} key=${index} blob=${segment.blob} name=${segment.name} />` : html`<${Segment} key=${index} segment=${segment} message=${{}} />`))}</div></div>
            <p class="answered muted small" role="status">${t("sandbox.sending")}</p></div></article>`;
}

/** A picture that is not sent yet. @param {{blob: Blob, name: string}} props */
export function Preview({ blob, name }) {
    const [url, setUrl] = useState("");
    useEffect(() => {
        if (!/^image\//.test(blob.type)) return undefined;
        const made = URL.createObjectURL(blob);
        setUrl(made);
        return () => URL.revokeObjectURL(made);
    }, [blob]);
    return url ? html`<img class="preview" src=${url} alt=${name} />` : html`<${FileCard} name=${name} size=${blob.size} url="" />`;
}

/** What happened, or is asked for, between the messages. @param {{line: any}} props */
function NoticeLine({ line }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    if (line.request) {
        const open = now.requests.has(line.request.flag);
        return html`<div class="chat-line notice-line"><div class="request-card"><p><${Peer} text=${requestText(now, line.request)} /></p>
            ${line.request.comment && html`<p class="muted"><${Peer} text=${line.request.comment} /></p>`}
            <p class="small"><span class=${classes("chip", open ? "warning" : "")}>${t(open ? "sandbox.request_open" : "sandbox.request_done")}</span> <code>${line.request.flag}</code></p></div></div>`;
    }
    const file = line.event.file;
    return html`<div class="chat-line notice-line"><button type="button" class="notice-text" title=${dateTime(line.time)} onClick=${() => { dialog.value = { kind: "json", title: t("sandbox.event"), value: line.event }; }}>
        ${line.injected && html`<span class="chip accent">${t("sandbox.injected")}</span>`}<bdi>${eventText(now, line.event)}</bdi></button>
        ${file && typeof file === "object" && html`<${FileOfEvent} file=${file} />`}</div>`;
}

/** @param {{file: any}} props */
function FileOfEvent({ file }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    const known = now.files.get(file.id || file.file_id);
    const name = known ? known.media : String(file.url || "").split("/media/").pop();
    return html`<${FileCard} name=${file.name} size=${file.size} url=${mediaUrl({ file: name })} />`;
}

/** @param {any} message @param {any} now */
function recalledText(message, now) {
    const group = message.group_id ? now.groups.get(message.group_id) : null;
    const operator = now.recalledBy.get(message.message_id);
    const sender = message.anonymous ? t("sandbox.anonymous") : nameOf(now, message.user_id, group);
    if (operator && operator !== message.user_id && operator !== 80000000) return t("sandbox.recalled_by", { operator: nameOf(now, operator, group), sender });
    return t("sandbox.recalled", { sender });
}

/**
 * The log of a conversation.
 * @param {{chat: string, focusComposer: any, hint?: any}} props
 */
export function Log({ chat, focusComposer, hint }) {
    version.value;
    language.value;
    const now = /** @type {any} */ (world.value);
    const box = useRef(/** @type {any} */ (null));
    const state = useRef({ bottom: true, height: 0, chat: "" });
    const [count, setCount] = useState(AT_ONCE);
    const [fresh, setFresh] = useState(0);
    const [wanted, setWanted] = useState(0);
    const found = now.chats.get(chat);
    const lines = found ? found.lines : [];
    const shown = lines.slice(Math.max(0, lines.length - count));
    const sending = pending.value.filter((each) => each.chat === chat && !(each.messageId && now.messages.has(each.messageId)));
    const last = lines.length ? lines[lines.length - 1].key : "";

    const toBottom = () => {
        const element = box.current;
        if (element) element.scrollTop = element.scrollHeight;
        state.current.bottom = true;
        setFresh(0);
    };
    useLayoutEffect(() => {
        setCount(AT_ONCE);
        setFresh(0);
        toBottom();
    }, [chat]);
    useLayoutEffect(() => {
        const element = box.current;
        const kept = state.current;
        if (kept.height && kept.chat === chat) element.scrollTop += element.scrollHeight - kept.height;
        kept.height = 0;
        kept.chat = chat;
    }, [count, shown.length]);
    useLayoutEffect(() => {
        if (state.current.bottom || sending.length) toBottom();
        else if (last) setFresh((n) => n + 1);
        if (!document.hidden) markSeen(chat);
    }, [last, sending.length]);
    useEffect(() => {
        const back = () => { if (!document.hidden) markSeen(chat); };
        document.addEventListener("visibilitychange", back);
        return () => document.removeEventListener("visibilitychange", back);
    }, [chat]);
    // Pictures grow when they have arrived, and the box when the keyboard goes.
    useEffect(() => {
        if (typeof ResizeObserver !== "function") return undefined;
        const observer = new ResizeObserver(() => { if (box.current && state.current.bottom) box.current.scrollTop = box.current.scrollHeight; });
        observer.observe(box.current);
        observer.observe(box.current.firstElementChild);
        return () => observer.disconnect();
    }, []);
    useEffect(() => {
        if (!wanted) return;
        const element = document.getElementById(`message-${wanted}`);
        if (!element) return;
        setWanted(0);
        element.scrollIntoView({ block: "center" });
        element.classList.remove("flash");
        void element.offsetWidth;
        element.classList.add("flash");
        element.focus({ preventScroll: true });
    }, [wanted, count]);

    const scrolled = () => {
        const element = box.current;
        const kept = state.current;
        kept.bottom = element.scrollHeight - element.scrollTop - element.clientHeight < 60;
        if (kept.bottom && fresh) setFresh(0);
        if (element.scrollTop < 200 && lines.length > count && !kept.height) more();
    };
    const more = () => {
        state.current.height = box.current.scrollHeight;
        setCount(count + AT_ONCE);
    };
    const onJump = (id) => {
        const index = lines.findIndex((line) => line.message && line.message.message_id === id);
        if (index < 0) return;
        if (lines.length - index > count) setCount(lines.length - index + 20);
        setWanted(id);
    };
    let before = 0;
    let speaker = "";
    let asked = 0; // when a person spoke last, with nothing behind it
    const painted = [];
    for (const line of shown) {
        if (!before || line.time - before > PAUSE) {
            painted.push(html`<p class="chat-line time-line muted small" key=${`t${line.key}`}><time datetime=${new Date(line.time * 1000).toISOString()} title=${dateTime(line.time)}>${shortTime(line.time)}</time></p>`);
            speaker = "";
        }
        before = line.time;
        if (line.message && line.message.recalled) {
            painted.push(html`<div class="chat-line notice-line" key=${line.key} id=${`message-${line.message.message_id}`} tabindex="-1"><button type="button" class="notice-text"
                onClick=${() => { dialog.value = { kind: "json", title: t("sandbox.json_of", { id: line.message.message_id }), value: line.message }; }}><bdi>${recalledText(line.message, now)}</bdi></button></div>`);
            speaker = "";
        } else if (line.message) {
            const after = line.message.from_bot && asked && line.time - asked <= PAUSE ? line.time - asked : null;
            asked = line.message.from_bot ? 0 : line.time;
            const who = `${line.message.user_id} ${line.message.anonymous || ""}`;
            painted.push(html`<${Bubble} key=${line.key} message=${line.message} head=${who !== speaker} after=${after} chat=${chat} onJump=${onJump} focusComposer=${focusComposer} />`);
            speaker = who;
        } else {
            painted.push(html`<${NoticeLine} key=${line.key} line=${line} />`);
            speaker = "";
        }
    }
    return html`<div class="log-frame"><div class="log" ref=${box} onScroll=${scrolled} tabindex="0" aria-label=${t("sandbox.log")}>
        <div class="log-lines" role="log" aria-live="polite" aria-label=${t("sandbox.log")}>
            ${lines.length > count && html`<div class="chat-line notice-line"><${Button} onClick=${more}>${t("sandbox.older", { n: lines.length - count })}<//></div>`}
            ${painted}
            ${sending.map((each) => html`<${PendingBubble} key=${each.key} sending=${each} />`)}
            ${!lines.length && !sending.length && hint}
        </div></div>
        ${fresh > 0 && html`<${Button} kind="primary" icon="down" class="to-bottom" onClick=${toBottom}>${t("sandbox.fresh", { n: fresh })}<//>`}</div>`;
}
