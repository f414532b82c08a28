// @ts-check
/** A sandbox's world as the page shows it: loaded once, then kept up to date by its log. */

import { apiBase, get, post, requestResponse, send } from "../../core/api.js";
import { bytes } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { perTab } from "../../core/store.js";
import { subscribe } from "../../core/stream.js";
import { batch, signal } from "../../core/ui.js";

/**
 * @typedef {{key: string, kind: "group" | "private", id: number, lines: any[]}} Chat
 * @typedef {{
 *     id: number, people: Map<number, any>, groups: Map<number, any>, requests: Map<string, any>, files: Map<string, any>,
 *     messages: Map<number, any>, chats: Map<string, Chat>, recalledBy: Map<number, number>, answered: Map<number, any>,
 *     notices: Set<number>, lastMessage: number,
 * }} World
 */

/** The sandbox accounts: their cards in the overview; null until they are known. */
export const accounts = signal(/** @type {any[] | null} */ (null));

/** The bots' cards in the overview, by name. */
export const bots = signal(/** @type {Map<string, any>} */ (new Map()));

/** The world in view; null while it is loaded. The object changes, and `version` with it. */
export const world = signal(/** @type {World | null} */ (null));

/** Counts up with each change of the world. */
export const version = signal(0);

/** Who this tab plays: a person's number; 0 until it is known. */
export const me = signal(0);

/** Why the world cannot be loaded; null if it can. */
export const failure = signal(/** @type {any} */ (null));

/** The kinds of the faults that are set, one for each. */
export const faults = signal(/** @type {string[]} */ ([]));

/** What this tab is sending, the oldest first: `{key, chat, user, message, note, messageId}`. */
export const pending = signal(/** @type {any[]} */ ([]));

/** The number of the last message that was read, by chat. */
export const seen = signal(/** @type {Record<string, number>} */ ({}));

/** Lines that are kept of a chat; the sandbox itself keeps 1000 messages. */
const MOST_LINES = 3000;

let accountInView = 0;
let endLog = () => {};
let loads = 0;
let count = 0;

/** The answers of bots that no message is known of yet, and the other way round, by chat. */
let calls = new Map();
let unanswered = new Map();
/** When somebody last said something, by chat: seconds, by the server's clock. */
let asked = new Map();

/** @param {any} message */
export const chatOf = (message) => (message.group_id ? `g${message.group_id}` : `p${message.peer_id || message.user_id}`);

function changed() {
    version.value += 1;
}

/** Choose who this tab plays. @param {number} user */
export function play(user) {
    me.value = user;
    perTab.set(`sandbox.me.${accountInView}`, String(user));
}

/** Remember that a chat was read up to its end. @param {string} key */
export function markSeen(key) {
    const now = world.peek();
    const chat = now && now.chats.get(key);
    const last = chat ? lastMessageOf(chat) : null;
    if (!last || (seen.peek()[key] || 0) >= last.message_id) return;
    seen.value = { ...seen.peek(), [key]: last.message_id };
    perTab.set(`sandbox.seen.${accountInView}`, JSON.stringify(seen.peek()));
}

/** @param {Chat} chat */
export function lastMessageOf(chat) {
    for (let index = chat.lines.length - 1; index >= 0; index -= 1) {
        if (chat.lines[index].message) return chat.lines[index].message;
    }
    return null;
}

/** How many messages of others a chat has that were not read. @param {Chat | undefined} chat */
export function unreadOf(chat) {
    if (!chat) return 0;
    const read = seen.value[chat.key] || 0;
    let unread = 0;
    for (let index = chat.lines.length - 1; index >= 0; index -= 1) {
        const { message } = chat.lines[index];
        if (!message) continue;
        if (message.message_id <= read) break;
        if (message.user_id !== me.value && !message.recalled) unread += 1;
    }
    return unread;
}

/** Begin to watch which sandboxes and bots there are. Returns what ends it. */
export function watchState() {
    let live = true;
    const take = (state) => batch(() => {
        if (!live) return;
        accounts.value = (state.accounts || []).filter((each) => each.type === "sandbox");
        bots.value = new Map((state.bots || []).map((each) => [each.bot, each]));
    });
    get("state").then(take, (error) => { if (live && !accounts.peek()) failure.value = error; });
    const end = subscribe({ topic: "links" }, {
        links: take,
        link: (data) => {
            if (!(data.bots || []).length) return;
            const next = new Map(bots.peek());
            for (const each of data.bots) next.set(each.bot, each);
            bots.value = next;
        },
    });
    return () => {
        live = false;
        end();
    };
}

/** Milliseconds after which the faults are read again. */
const FAULTS_INTERVAL = 5000;

/** Whether a bot is connected that may use the account. @param {number} account */
export function hasBot(account) {
    return [...bots.value.values()].some((bot) => (!bot.accounts || bot.accounts.includes(account))
        && (bot.state === "up" || bot.state === "partly"));
}

/** Read which faults are set. They change without an entry of the log. @param {number} account */
async function loadFaults(account) {
    try {
        const found = await get(`sandbox/${account}/faults`);
        if (account === accountInView) faults.value = found.faults.map((each) => each.kind);
    } catch {
        // what is shown of the world says that it cannot be reached
    }
}

/** End all faults of the account. */
export async function clearFaults() {
    await act("clear_faults", {});
    await loadFaults(accountInView);
}

/** Load the world of an account and keep it up to date. Returns what ends it. @param {number} account */
export function watchWorld(account) {
    accountInView = account;
    world.value = null;
    pending.value = [];
    me.value = Number(perTab.get(`sandbox.me.${account}`)) || 0;
    try {
        seen.value = JSON.parse(perTab.get(`sandbox.seen.${account}`) || "{}");
    } catch {
        seen.value = {};
    }
    faults.value = [];
    load(account);
    loadFaults(account);
    const timer = setInterval(() => { if (!document.hidden) loadFaults(account); }, FAULTS_INTERVAL);
    const endTraffic = subscribe({ topic: "traffic", filter: { account, kinds: ["message", "action"] } }, { traffic: takeTraffic });
    return () => {
        clearInterval(timer);
        accountInView = 0;
        world.value = null; // what is shown of it before it is loaded again could not be answered
        loads += 1;
        endLog();
        endLog = () => {};
        endTraffic();
    };
}

/** Load the world anew. @param {number} [account] */
export async function load(account = accountInView) {
    loads += 1;
    const mine = loads;
    endLog();
    endLog = () => {};
    try {
        const overview = await get(`sandbox/${account}/`);
        const messages = [];
        for (let after = 0, more = true; more;) {
            const part = await get(`sandbox/${account}/transcript`, { after, details: 1 });
            messages.push(...part.messages);
            more = Boolean(part.more);
            after = part.last_message_id;
        }
        const entries = [];
        for (let after = 0, more = true; more;) {
            const part = await get(`sandbox/${account}/log`, { after });
            for (const entry of part.entries) {
                if (entry.kind === "world") entries.length = 0; // what was before it was in another world
                else entries.push(entry);
            }
            more = Boolean(part.more);
            after = part.last;
        }
        if (mine !== loads) return;
        begin(account, overview, messages, entries);
        endLog = subscribe({ topic: "sandbox", account, after: overview.last_seq }, {
            sandbox: (data) => {
                if (mine !== loads) return;
                if (data.missed || data.entries.some((entry) => entry.kind === "world")) {
                    load(account);
                    return;
                }
                batch(() => {
                    for (const entry of data.entries) take(entry, true);
                    changed();
                });
            },
        });
    } catch (error) {
        if (mine === loads) failure.value = error;
    }
}

/** @param {number} account @param {any} overview @param {any[]} messages @param {any[]} entries */
function begin(account, overview, messages, entries) {
    /** @type {World} */
    const fresh = {
        id: account, people: new Map(overview.people.map((each) => [each.user_id, each])),
        groups: new Map(overview.groups.map((each) => [each.group_id, each])),
        requests: new Map(overview.requests.map((each) => [each.flag, each])),
        files: new Map((overview.files || []).map((each) => [each.file_id, each])),
        messages: new Map(), chats: new Map(), recalledBy: new Map(), answered: new Map(), notices: new Set(), lastMessage: 0,
    };
    calls = new Map();
    unanswered = new Map();
    asked = new Map();
    batch(() => {
        const first = !world.peek();
        failure.value = null;
        world.value = fresh;
        for (const message of messages) takeMessage(fresh, message, false);
        // Where a notice stands among the messages: its time tells it to the second, the log's order exactly.
        let anchor = 0;
        const times = messages.map((message) => [message.time, message.message_id]);
        let index = 0;
        for (const entry of entries) {
            while (index < times.length && times[index][0] < entry.time) {
                anchor = Math.max(anchor, times[index][1]);
                index += 1;
            }
            if (entry.message) anchor = Math.max(anchor, entry.message.message_id);
            if (entry.kind === "notice" || entry.kind === "event" || entry.kind === "request") take(entry, false, anchor);
        }
        for (const request of fresh.requests.values()) {
            if (![...fresh.chats.values()].some((chat) => chat.lines.some((line) => line.request && line.request.flag === request.flag))) {
                takeRequest(fresh, request, 0, request.time, lastBefore(times, request.time));
            }
        }
        if (!fresh.people.has(me.peek()) || me.peek() === account) {
            const someone = [...fresh.people.values()].find((each) => each.user_id !== account && each.friend)
                || [...fresh.people.values()].find((each) => each.user_id !== account);
            me.value = someone ? someone.user_id : 0;
        }
        if (first && !Object.keys(seen.peek()).length) {
            const all = {};
            for (const chat of fresh.chats.values()) {
                const last = lastMessageOf(chat);
                if (last) all[chat.key] = last.message_id;
            }
            seen.value = all;
        }
        changed();
    });
}

/** @param {any[]} times @param {number} time */
function lastBefore(times, time) {
    let found = 0;
    for (const [at, id] of times) if (at <= time) found = Math.max(found, id);
    return found;
}

/** @param {World} now @param {string} key @returns {Chat} */
function chatOfKey(now, key) {
    let chat = now.chats.get(key);
    if (!chat) {
        chat = { key, kind: key[0] === "g" ? "group" : "private", id: Number(key.slice(1)), lines: [] };
        now.chats.set(key, chat);
    }
    return chat;
}

/** Put a line where it belongs: behind the message `anchor`, in the order of `seq`. @param {Chat} chat @param {any} line */
function insert(chat, line) {
    const { lines } = chat;
    let index = lines.length;
    while (index > 0) {
        const before = lines[index - 1];
        if (before.anchor < line.anchor || (before.anchor === line.anchor && before.seq <= line.seq)) break;
        index -= 1;
    }
    lines.splice(index, 0, line);
    if (lines.length > MOST_LINES) lines.splice(0, lines.length - MOST_LINES);
}

/** Take an entry of the log. @param {any} entry @param {boolean} live @param {number} [anchor] */
function take(entry, live, anchor) {
    const now = world.peek();
    if (!now) return;
    const { kind } = entry;
    const at = anchor === undefined ? now.lastMessage : anchor;
    if (kind === "message") {
        if (entry.message) takeMessage(now, entry.message, live);
        else removeMessage(now, Number(entry.removed));
    } else if (kind === "person") {
        if (entry.person) now.people.set(entry.person.user_id, entry.person);
        else now.people.delete(Number(entry.removed));
    } else if (kind === "group") {
        if (entry.group && entry.group.shortened) {
            load();
        } else if (entry.group) now.groups.set(entry.group.group_id, entry.group);
        else now.groups.delete(Number(entry.removed));
    } else if (kind === "request") {
        if (!entry.request) now.requests.delete(entry.removed);
        else {
            now.requests.set(entry.request.flag, entry.request);
            takeRequest(now, entry.request, entry.seq, entry.time, at);
        }
    } else if (kind === "file") {
        if (entry.file) now.files.set(entry.file.file_id, entry.file);
        else now.files.delete(entry.removed);
    } else if (kind === "notice" || kind === "event") {
        takeEvent(now, entry, at);
    }
}

/** @param {World} now @param {any} message @param {boolean} live */
function takeMessage(now, message, live) {
    const id = message.message_id;
    const known = now.messages.get(id);
    const chat = chatOfKey(now, chatOf(message));
    if (known && message.shortened && !known.shortened) {
        message = { ...message, message: known.message, raw_message: known.raw_message, shortened: false };
    }
    now.messages.set(id, message);
    now.lastMessage = Math.max(now.lastMessage, id);
    if (known) {
        const line = chat.lines.find((each) => each.message && each.message.message_id === id);
        if (line) line.message = message;
        return;
    }
    insert(chat, { key: `m${id}`, anchor: id, seq: 0, time: message.time, message });
    if (!live) return;
    const mine = pending.peek().find((each) => each.chat === chat.key && each.user === message.user_id && (!each.messageId || each.messageId === id));
    if (mine) pending.value = pending.peek().filter((each) => each !== mine);
    if (message.from_bot) {
        const ready = (calls.get(chat.key) || []).shift();
        if (ready) now.answered.set(id, ready);
        else unanswered.set(chat.key, [...(unanswered.get(chat.key) || []).slice(-20), id]);
    }
}

/** @param {World} now @param {number} id */
function removeMessage(now, id) {
    const message = now.messages.get(id);
    if (!message) return;
    now.messages.delete(id);
    const chat = chatOfKey(now, chatOf(message));
    chat.lines = chat.lines.filter((line) => !line.message || line.message.message_id !== id);
}

/** @param {World} now @param {any} request @param {number} seq @param {number} time @param {number} anchor */
function takeRequest(now, request, seq, time, anchor) {
    const chat = chatOfKey(now, request.group_id ? `g${request.group_id}` : `p${request.user_id}`);
    if (!chat.lines.some((line) => line.request && line.request.flag === request.flag)) {
        insert(chat, { key: `r${request.flag}`, anchor, seq: seq || 1, time, request });
    }
}

/** @param {World} now @param {any} entry @param {number} anchor */
function takeEvent(now, entry, anchor) {
    const event = entry.event || {};
    if (now.notices.has(entry.seq)) return;
    now.notices.add(entry.seq);
    if (entry.kind === "notice") {
        if (event.post_type === "request" || event.post_type === "message" || event.post_type === "message_sent") return;
        if (event.notice_type === "group_recall" || event.notice_type === "friend_recall") {
            if (event.operator_id) now.recalledBy.set(event.message_id, event.operator_id);
            return;
        }
        if (event.notice_type === "group_msg_emoji_like") return;
    }
    const other = [event.user_id, event.sender_id, event.target_id].find((each) => each && each !== now.id);
    const key = event.group_id ? `g${event.group_id}` : other ? `p${other}` : me.peek() ? `p${me.peek()}` : "";
    if (!key) return;
    insert(chatOfKey(now, key), {
        key: `e${entry.seq}`, anchor, seq: entry.seq, time: entry.time, event, injected: entry.kind === "event",
    });
}

/** Find out which bot said what, and how long it took, by the calls that are seen. @param {any} data */
function takeTraffic(data) {
    const now = world.peek();
    if (!now) return;
    let known = false;
    for (const row of data.rows) {
        const key = row.group ? `g${row.group}` : row.user ? `p${row.user}` : "";
        if (row.kind === "message") {
            if (key && row.user !== now.id) asked.set(key, row.t);
        } else if (row.action && /^send_/.test(row.action) && key) {
            const answer = { bot: row.bot, ms: asked.has(key) ? Math.max(0, (row.t - asked.get(key)) * 1000) : null };
            asked.delete(key);
            const waiting = (unanswered.get(key) || []).shift();
            if (waiting) {
                now.answered.set(waiting, answer);
                known = true;
            } else calls.set(key, [...(calls.get(key) || []).slice(-20), answer]);
        }
    }
    if (known) changed();
}

// ---- what the page does -------------------------------------------------------------------------------------------

/** Call a verb of the sandbox. @param {string} verb @param {any} params */
export const act = (verb, params) => post(`sandbox/${accountInView}/${verb}`, params);

/** The files of a message that is on its way, and the last one in the queue of its chat. @type {Map<string, Promise<any>>} */
const queues = new Map();

/**
 * Send a message; it is shown as pending until the log has it.
 * @param {string} key the chat @param {number} user @param {any[]} message segments; a `blob` in a segment is uploaded first
 * @param {{anonymous?: boolean}} [options]
 */
export function say(key, user, message, options = {}) {
    count += 1;
    const sending = { key: `s${count}`, chat: key, user, message, messageId: 0, time: Date.now() / 1000 };
    pending.value = [...pending.peek(), sending];
    const account = accountInView;
    const sent = (queues.get(key) || Promise.resolve()).catch(() => {}).then(async () => {
        try {
            const segments = [];
            for (const segment of message) {
                if (!segment.blob) segments.push(segment);
                else {
                    if (!segment.stored) segment.stored = await upload(account, segment.blob, segment.name);
                    segments.push({ type: segment.type, data: { file: segment.stored.file, ...(segment.type === "file" ? { name: segment.name } : {}) } });
                }
            }
            const answer = await post(`sandbox/${account}/say`, {
                user_id: user, message: segments, group_id: key[0] === "g" ? Number(key.slice(1)) : null,
                anonymous: Boolean(options.anonymous),
            });
            const now = world.peek();
            // The log has it in a moment; where there is no stream at all it is read.
            setTimeout(() => {
                const later = world.peek();
                if (account !== accountInView || !later) return;
                const known = later.messages.has(answer.message_id);
                (known ? Promise.resolve() : loadWhole(answer.message_id)).then(() => drop(sending), () => {});
            }, 4000);
            if (now && now.messages.has(answer.message_id)) drop(sending);
            else pending.value = pending.peek().map((each) => (each.key === sending.key ? { ...each, messageId: answer.message_id } : each));
            return answer;
        } catch (error) {
            drop(sending);
            throw error;
        }
    });
    queues.set(key, sent.catch(() => {}));
    return sent;
}

/** @param {any} sending */
function drop(sending) {
    pending.value = pending.peek().filter((each) => each.key !== sending.key);
}

/** Store a file; returns what names it. @param {number} account @param {Blob} blob @param {string} name */
export async function upload(account, blob, name) {
    try {
        return await send("POST", `sandbox/${account}/media`, blob, "application/octet-stream", { query: { name: String(name || "").slice(-150) } });
    } catch (error) {
        throw tooLarge(error, name, blob.size);
    }
}

/** Upload a file to a group, or send it to the account where there is none. @param {number | null} group @param {number} user @param {any} file */
export async function uploadFile(group, user, file) {
    const name = String(file.name || "file").slice(-150);
    const stored = await upload(accountInView, file, name);
    return act("upload", { group_id: group, user_id: user, file: stored.file, name });
}

const FILE_NAME = /^[A-Za-z0-9_-]{32}(\.[a-z0-9]{1,8})?$/;

/** The URL of a stored file; "" for what is not one of this sandbox. @param {any} data of a segment, or `{file}` */
export function mediaUrl(data) {
    const file = String((data && data.file) || "");
    if (!FILE_NAME.test(file)) return "";
    if (data.url && !String(data.url).endsWith(`/media/${file}`)) return "";
    return `${apiBase}sandbox/${accountInView}/media/${file}`;
}

/** A merged forward message. @param {string} id */
export const getForward = (id) => get(`sandbox/${accountInView}/forward`, { id });

/** Load a message whose text the log has shortened. @param {number} id */
export async function loadWhole(id) {
    const part = await get(`sandbox/${accountInView}/transcript`, { after: id - 1, details: 1 });
    const found = part.messages.find((each) => each.message_id === id);
    const now = world.peek();
    if (found && now) {
        takeMessage(now, found, false);
        changed();
    }
}

/** The world as a file, byte for byte: numbers in it may be larger than JavaScript's. */
export async function getWorld() {
    const response = await requestResponse("GET", `sandbox/${accountInView}/world`);
    return response.blob();
}

/** Put a file in the world's place. @param {File} file */
export async function putWorld(file) {
    try {
        await send("PUT", `sandbox/${accountInView}/world`, file, "application/json");
    } catch (error) {
        throw tooLarge(error, file.name, file.size);
    }
}

/** Give bots an event, as the text is. @param {string} text */
export const inject = (text) => send("POST", `sandbox/${accountInView}/event`, text, "application/json");

/** The error to show where a body may have been too large. @param {any} error @param {string} name @param {number} size */
function tooLarge(error, name, size) {
    return error.status === 413 ? new Error(t("sandbox.too_large", { name: String(name || "").slice(-60), size: bytes(size) })) : error;
}
