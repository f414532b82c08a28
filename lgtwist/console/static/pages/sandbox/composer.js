// @ts-check
/** Where a message is written. */

import { errorText, t } from "../../core/i18n.js";
import { perTab } from "../../core/store.js";
import { Button, classes, html, Icon, Peer, signal, useEffect, useId, useLayoutEffect, useRef, useState } from "../../core/ui.js";
import { act, me, say, uploadFile, version, world } from "./store.js";
import { cut, faceName, nameOf, rankOf, summary } from "./names.js";
import { menu, MenuButton, notice } from "./menu.js";
import { clearSelection, selection } from "./selection.js";
import { attempt, Preview } from "./bubbles.js";

const FACES = ["14", "178", "179", "76", "66", "63", "5", "12", "21", "124", "79", "277"];

/**
 * What is being written, by account and chat: text, what stands for other segments in it, files, and what it answers.
 * @typedef {{text: string, tokens: {text: string, segment: any}[], files: any[], reply: number, anonymous: boolean}} Draft
 */
const drafts = signal(/** @type {Record<string, Draft>} */ ({}));

/** @param {string} key */
const draftKey = (key) => `sandbox.draft.${(world.peek() || { id: 0 }).id}.${key}`;

/** @param {string} key @param {string} [name] of the draft, where the page may show another world by now @returns {Draft} */
function draftOf(key, name = draftKey(key)) {
    return drafts.value[name] || { text: perTab.get(name) || "", tokens: [], files: [], reply: 0, anonymous: false };
}

/** @param {string} key @param {Partial<Draft>} changes @param {string} [name] of the draft, as for `draftOf` */
function change(key, changes, name = draftKey(key)) {
    drafts.value = { ...drafts.value, [name]: { ...draftOf(key, name), ...changes } };
    if (changes.text !== undefined) perTab.set(name, changes.text);
}

/** Answer a message. @param {string} key @param {number} id */
export const setReply = (key, id) => change(key, { reply: id });

/** Put somebody's name into what is being written. @param {string} key @param {number} user */
export function mention(key, user) {
    const draft = draftOf(key);
    const token = tokenOf(key, user);
    change(key, { text: `${draft.text}${draft.text && !/\s$/.test(draft.text) ? " " : ""}${token.text} `, tokens: [...draft.tokens, token] });
}

/** @param {string} key @param {number | "all"} user */
function tokenOf(key, user) {
    const now = /** @type {any} */ (world.peek());
    const group = now.groups.get(Number(key.slice(1)));
    const name = user === "all" ? t("sandbox.at_all") : nameOf(now, user, group);
    return { text: `@${name}`, segment: { type: "at", data: { qq: String(user) } } };
}

/** The segments of a draft. @param {Draft} draft */
function segmentsOf(draft) {
    /** @type {any[]} */
    const segments = draft.reply ? [{ type: "reply", data: { id: String(draft.reply) } }] : [];
    let rest = draft.text.trim() ? draft.text.replace(/\s+$/, "") : "";
    const tokens = draft.tokens.slice().sort((a, b) => b.text.length - a.text.length);
    while (rest) {
        let at = -1;
        let next = null;
        for (const token of tokens) {
            const index = rest.indexOf(token.text);
            if (index >= 0 && (at < 0 || index < at)) {
                at = index;
                next = token;
            }
        }
        if (!next) break;
        if (at > 0) segments.push({ type: "text", data: { text: rest.slice(0, at) } });
        segments.push(next.segment);
        rest = rest.slice(at + next.text.length);
    }
    if (rest) segments.push({ type: "text", data: { text: rest } });
    for (const file of draft.files) if (file.type !== "file") segments.push(file);
    return segments;
}

/** @param {Blob} blob */
function typeOf(blob) {
    const type = blob.type || "";
    if (/^image\//.test(type)) return "image";
    if (/^audio\//.test(type)) return "record";
    if (/^video\//.test(type)) return "video";
    return "file";
}

/** Add files to what is being written. @param {string} key @param {Iterable<any> | null | undefined} blobs */
export function addFiles(key, blobs) {
    const files = [...(blobs || [])].map((blob) => ({ type: typeOf(blob), data: {}, blob, name: blob.name || "image.png" }));
    if (files.length) change(key, { files: [...draftOf(key).files, ...files] });
    return files.length;
}

/**
 * Who may not write here, and why: a sentence and a remedy; null where one may.
 * @param {any} now @param {string} key
 */
function obstacleOf(now, key) {
    const id = Number(key.slice(1));
    const name = nameOf(now, me.value);
    if (key[0] === "p") {
        return id === me.value ? null : { text: t("sandbox.not_my_chat", { name, other: nameOf(now, id) }), label: t("sandbox.play", { name: nameOf(now, id) }), user: id };
    }
    const group = now.groups.get(id);
    if (!group) return { text: t("sandbox.group_gone") };
    if (rankOf(group, me.value) < 0) return { text: t("sandbox.not_in_group", { name }), label: t("sandbox.join_as", { name }), join: id };
    return null;
}

/** @param {{chat: string, play: (user: number) => void, focusSignal: any}} props */
export function Composer({ chat, play, focusSignal }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    const area = useRef(/** @type {any} */ (null));
    const picker = useRef(/** @type {any} */ (null));
    const [hints, setHints] = useState(/** @type {any} */ (null));
    const [problem, setProblem] = useState("");
    const listId = useId();
    const group = chat[0] === "g" ? now.groups.get(Number(chat.slice(1))) : null;
    const draft = draftOf(chat);
    const obstacle = obstacleOf(now, chat);

    useEffect(() => {
        setProblem("");
        setHints(null);
        if (area.current && window.matchMedia("(min-width: 701px)").matches) area.current.focus();
    }, [chat, me.value]);
    useEffect(() => {
        if (focusSignal.value && area.current) {
            area.current.focus();
            area.current.selectionStart = area.current.value.length;
        }
    }, [focusSignal.value]);
    useLayoutEffect(() => {
        const element = area.current;
        if (!element) return;
        element.style.height = "auto";
        element.style.height = `${Math.min(element.scrollHeight + 2, 180)}px`;
    }, [draft.text, chat, Boolean(obstacle)]);

    if (obstacle) {
        return html`<div class="composer composer-closed"><p>${obstacle.text}</p>${obstacle.label && html`<${Button} kind="primary"
            onClick=${() => (obstacle.user ? play(obstacle.user) : attempt(() => act("join", { group_id: obstacle.join, user_id: me.peek() })))}>${obstacle.label}<//>`}</div>`;
    }

    const lookForMention = (text, caret) => {
        const before = /(^|[^\p{L}\p{N}_])@([^\s@]{0,20})$/u.exec(text.slice(0, caret));
        if (!group || !before) {
            setHints(null);
            return;
        }
        const wanted = before[2].toLowerCase();
        const found = group.members.filter((member) => member.user_id !== me.peek())
            .map((member) => ({ user: member.user_id, name: nameOf(now, member.user_id, group) }))
            .filter(({ user, name }) => name.toLowerCase().includes(wanted) || String(user).startsWith(wanted)).slice(0, 8);
        if (rankOf(group, me.peek()) > 0 && t("sandbox.at_all").toLowerCase().startsWith(wanted)) found.push({ user: /** @type {any} */ ("all"), name: t("sandbox.at_all") });
        setHints(found.length ? { found, index: 0, from: caret - before[2].length - 1, to: caret } : null);
    };
    const choose = (entry) => {
        const token = tokenOf(chat, entry.user);
        const text = `${draft.text.slice(0, hints.from)}${token.text} ${draft.text.slice(hints.to)}`;
        change(chat, { text, tokens: [...draft.tokens, token] });
        setHints(null);
        area.current.focus();
    };
    const insertFace = (id) => {
        const token = { text: `[${faceName(id)}]`, segment: { type: "face", data: { id } } };
        change(chat, { text: `${draftOf(chat).text}${token.text}`, tokens: [...draftOf(chat).tokens, token] });
        area.current.focus();
    };
    const submit = async () => {
        const current = draftOf(chat);
        const user = me.peek();
        const segments = segmentsOf(current);
        const files = current.files.filter((file) => file.type === "file");
        const empty = !segments.some((segment) => segment.type !== "reply");
        if (empty && !files.length) return;
        setProblem("");
        const name = draftKey(chat);
        change(chat, { text: "", tokens: [], files: [], reply: 0 });
        area.current.focus();
        try {
            if (!empty) await say(chat, user, segments, { anonymous: current.anonymous && Boolean(group) });
            for (const file of files.slice()) {
                await uploadFile(group ? group.group_id : null, user, file.blob);
                files.shift();
            }
        } catch (error) {
            setProblem(errorText(error));
            const said = files.length < current.files.filter((file) => file.type === "file").length;
            const written = draftOf(chat, name);
            if (said) change(chat, { files: [...files, ...written.files] }, name);
            else {
                change(chat, {
                    text: written.text ? `${current.text}\n${written.text}` : current.text, tokens: [...current.tokens, ...written.tokens],
                    files: [...current.files, ...written.files], reply: written.reply || current.reply,
                }, name);
            }
        }
    };
    const pressed = (event) => {
        if (event.isComposing || event.keyCode === 229) return;
        if (hints) {
            const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
            if (step) setHints({ ...hints, index: (hints.index + step + hints.found.length) % hints.found.length });
            else if (event.key === "Enter" || event.key === "Tab") choose(hints.found[hints.index]);
            else if (event.key === "Escape") setHints(null);
            else return;
            event.preventDefault();
            return;
        }
        if (event.key === "Enter" && !event.shiftKey) {
            event.preventDefault();
            submit();
        } else if (event.key === "Escape" && draft.reply) {
            event.preventDefault();
            change(chat, { reply: 0 });
        }
    };
    const pasted = (event) => {
        if (event.clipboardData && addFiles(chat, event.clipboardData.files)) event.preventDefault();
    };
    const mergeForward = async () => {
        const nodes = selection.peek().ids.map((id) => now.messages.get(id)).filter((message) => message && !message.recalled).map((message) => ({
            type: "node", data: {
                user_id: String(message.anonymous ? 80000000 : message.user_id), nickname: message.anonymous || nameOf(now, message.user_id, group),
                time: String(message.time), content: message.message.filter((segment) => segment.type !== "reply"),
            },
        })).filter((node) => node.data.content.length);
        if (!nodes.length) return;
        clearSelection();
        try {
            await say(chat, me.peek(), nodes);
        } catch (error) {
            setProblem(errorText(error));
        }
    };
    const quoted = draft.reply ? now.messages.get(draft.reply) : null;
    const chosen = selection.value.chat === chat ? selection.value.ids.length : 0;
    const said = problem || notice.value;
    const things = () => [
        { icon: "image", label: t("sandbox.do.pick"), run: () => picker.current.click() },
        { icon: "chat", label: t("sandbox.do.face"), run: () => setTimeout(() => {
            menu.value = { anchor: document.getElementById("composer-more"), row: true, label: t("sandbox.do.face"), items: FACES.map((id) => ({ label: faceName(id), run: () => insertFace(id) })) };
        }) },
        { icon: "pulse", label: t("sandbox.do.poke_bot"), run: () => attempt(() => act("poke", { user_id: me.peek(), group_id: group ? group.group_id : null })) },
        group && { icon: "person", label: t("sandbox.do.at_bot"), run: () => { mention(chat, now.id); area.current.focus(); } },
        group && { icon: "moon", label: t(draft.anonymous ? "sandbox.do.anonymous_off" : "sandbox.do.anonymous"), run: () => { change(chat, { anonymous: !draft.anonymous }); area.current.focus(); } },
    ];
    return html`<form class="composer" onSubmit=${(event) => { event.preventDefault(); submit(); }}>
        ${said && html`<div class="composer-problem" role="alert"><${Icon} name="warning" /><${Peer} text=${said} class="grow" />
            <${Button} kind="quiet" icon="close" label=${t("ui.close")} onClick=${() => { setProblem(""); notice.value = ""; }} /></div>`}
        ${chosen > 0 && html`<div class="composer-strip"><span class="grow">${t("sandbox.chosen", { n: chosen })}</span>
            <${Button} kind="primary" onClick=${mergeForward}>${t("sandbox.do.merge")}<//><${Button} kind="quiet" onClick=${clearSelection}>${t("ui.cancel")}<//></div>`}
        ${draft.reply > 0 && html`<div class="composer-strip"><${Icon} name="reply" /><span class="grow one-line">${quoted
            ? html`<b>${nameOf(now, quoted.user_id, group)}</b> <${Peer} text=${summary(now, quoted)} inline />` : `#${draft.reply}`}</span>
            <${Button} kind="quiet" icon="close" label=${t("sandbox.no_reply")} onClick=${() => change(chat, { reply: 0 })} /></div>`}
        ${draft.anonymous && group && html`<div class="composer-strip"><span class="chip accent">${t("sandbox.anonymous")}</span><span class="grow muted small">${t("sandbox.anonymous_hint")}</span>
            <${Button} kind="quiet" icon="close" label=${t("sandbox.do.anonymous_off")} onClick=${() => change(chat, { anonymous: false })} /></div>`}
        ${draft.files.length > 0 && html`<ul class="previews">${draft.files.map((file, index) => html`<li key=${index}><${Preview} blob=${file.blob} name=${file.name} />
            <${Button} kind="" icon="close" label=${t("sandbox.remove_file", { name: file.name.slice(0, 60) })} onClick=${() => change(chat, { files: draft.files.filter((each) => each !== file) })} /></li>`)}</ul>`}
        ${hints && html`<ul class="hints" role="listbox" id=${listId} aria-label=${t("sandbox.members")}>${hints.found.map((entry, index) => html`<li key=${entry.user} role="option"
            id=${`${listId}-${index}`} aria-selected=${index === hints.index ? "true" : "false"} onPointerDown=${(event) => { event.preventDefault(); choose(entry); }}>
            <${Peer} text=${entry.name} inline /><span class="muted small">${entry.user === "all" ? "" : entry.user}</span></li>`)}</ul>`}
        <div class="composer-row">
            <${MenuButton} id="composer-more" icon="plus" label=${t("sandbox.more_to_send")} items=${things} />
            <input type="file" hidden multiple ref=${picker} aria-hidden="true" tabindex="-1" data-picker="composer" onChange=${(event) => { addFiles(chat, event.currentTarget.files); event.currentTarget.value = ""; area.current.focus(); }} />
            <textarea ref=${area} rows="1" value=${draft.text} placeholder=${group ? t("sandbox.say_group", { name: cut(nameOf(now, me.value, group), 12) }) : t("sandbox.say_private")}
                aria-label=${t("sandbox.message")} aria-controls=${hints ? listId : undefined} aria-activedescendant=${hints ? `${listId}-${hints.index}` : undefined} enterkeyhint="send"
                onInput=${(event) => { const { value, selectionStart } = event.currentTarget; change(chat, { text: value }); if (problem) setProblem(""); lookForMention(value, selectionStart); }}
                onKeyDown=${pressed} onPaste=${pasted} onBlur=${() => setHints(null)}></textarea>
            <${Button} kind="primary" icon="send" type="submit" label=${t("sandbox.send")} class=${classes("send")} disabled=${!draft.text.trim() && !draft.files.length} />
        </div></form>`;
}
