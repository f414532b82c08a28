// @ts-check
/**
 * The live data of the pages, over one stream per browser.
 *
 * Browsers open six connections per host, so that a stream per tab would leave the seventh tab without any.
 * Therefore the tab that holds a Web Lock (the leader) opens the stream and hands each event on to the other
 * tabs over a BroadcastChannel; these tell it what they want, and it subscribes to the union. Where Web Locks
 * or BroadcastChannel are missing (plain HTTP on another address than this machine's has no Web Locks), each
 * tab in view has a stream of its own and closes it while it is hidden.
 *
 * The stream is read with `fetch`, not with `EventSource`: the latter tells neither the status of a refusal nor
 * that the comments of the server, one each 15 s, have ceased to arrive.
 */

import { signal } from "../vendor/signals.mjs";
import { apiBase, base, errorOf, loggedOut, pageAssets, post } from "./api.js";
import { serverTime } from "./format.js";

/** Milliseconds. */
const FIRST_DELAY = 500;
const MAX_DELAY = 10000;
const SHOW_LOST_AFTER = 1500;
const FULL_DELAY = 30000;
const SILENT_AFTER = 45000;
const SUCCESSION = 100;
const PRUNE_EACH = 30000;
/** As the server's bound of subscriptions per stream. */
const MAX_SUBSCRIPTIONS = 32;

/** What the stream is doing: "stopped", "connecting", "open", or "full" (the server closed the oldest of too many). */
export const connection = signal("stopped");

/** Whether the page shall say that the connection is lost: it has not been open for 1.5 s. */
export const connectionLost = signal(false);

/** Whether the server has other static files than this page was made of. */
export const updated = signal(false);

const name = `lgtwist.stream:${base}`;
const tab = Math.random().toString(36).slice(2, 10);
const locks = /** @type {any} */ (navigator).locks;
const channel = locks && typeof BroadcastChannel === "function" ? new BroadcastChannel(name) : null;

/**
 * @typedef {{topic: string, account?: number, after?: number | null, filter?: Record<string, any>}} Topic
 * @typedef {Record<string, (data: any) => void>} Handlers
 * @typedef {{key: string, wire: string, topic: Topic}} Want
 */

/** The subscriptions of this tab. @type {Map<string, {want: Want, handlers: Handlers}>} */
const subscriptions = new Map();
let count = 0;
let started = false;
let leading = false;
let ownLock = false;
/** @type {AbortController | null} */
let lockRequest = null;
/** @type {(() => void) | null} */
let releaseLock = null;

// ---- of every tab -------------------------------------------------------------------------------------------------

/** A short hash, so that tabs with the same filter share a subscription. @param {string} text */
function hash(text) {
    let value = 5381;
    for (let index = 0; index < text.length; index += 1) value = ((value * 33) ^ text.charCodeAt(index)) >>> 0;
    return value.toString(36);
}

/** The name of a subscription on the stream, the same in all tabs that want the same. @param {Topic} topic */
function wireOf(topic) {
    if (topic.topic === "sandbox") return `sandbox-${topic.account}`;
    if (topic.topic === "traffic" || topic.topic === "log") return `${topic.topic}-${hash(JSON.stringify(topic.filter || {}))}`;
    return topic.topic;
}

/**
 * Subscribe to a topic: `{topic: "links"}`, `{topic: "traffic", filter: {...}}`, `{topic: "log", filter: {level, text}}`,
 * `{topic: "alerts"}` or `{topic: "sandbox", account, after}`.
 *
 * Handlers are named as the events: `links`, `link`, `traffic`, `dropped`, `log`, `alerts`, `sandbox`; `connected(hello)` is called
 * whenever the stream was opened (anew), and `refused(error)` where the server refuses the subscription. A sandbox
 * subscription resumes by itself after a lost connection; its `missed: true` says that entries are lost and the world
 * is to be loaded anew.
 * @param {Topic} topic
 * @param {Handlers} handlers
 * @returns {() => void} ends the subscription
 */
export function subscribe(topic, handlers) {
    count += 1;
    const key = `${tab}-${count}`;
    subscriptions.set(key, { want: { key, wire: wireOf(topic), topic: { ...topic } }, handlers });
    tellWants();
    return () => {
        subscriptions.delete(key);
        tellWants();
    };
}

let telling = false;

/** Tell the leader (or the server, where this tab has the stream) what this tab wants, once per turn. */
function tellWants() {
    if (telling) return;
    telling = true;
    Promise.resolve().then(() => {
        telling = false;
        const wants = [...subscriptions.values()].map(({ want }) => want);
        if (leading) takeWants(tab, wants);
        else if (channel) channel.postMessage({ type: "want", tab, wants });
    });
}

/**
 * Call a handler; an exception in it does not affect the others.
 * @param {Handlers} handlers @param {string} event @param {any} data
 */
function call(handlers, event, data) {
    if (!handlers[event]) return;
    try {
        handlers[event](data);
    } catch (error) {
        setTimeout(() => { throw error; });
    }
}

/** Hand an event of the stream to the subscriptions of this tab. @param {string} event @param {any} data */
function dispatch(event, data) {
    if (data && typeof data.now === "number") serverTime(data.now);
    if (event === "hello") {
        checkAssets(data.assets);
        for (const { handlers } of subscriptions.values()) call(handlers, "connected", data);
        return;
    }
    if (event === "bye") {
        if (data.code === "token_changed" || data.code === "logged_out") loggedOut();
        return;
    }
    for (const { want, handlers } of [...subscriptions.values()]) {
        const { topic } = want;
        if (event === "links" || event === "link") {
            if (topic.topic === "links") call(handlers, event, data);
        } else if (event === "traffic") {
            if (topic.topic !== "traffic" || (data.to && data.to !== want.wire)) continue;
            const rows = (data.rows || []).filter((row) => !row.to || row.to.includes(want.wire));
            const answers = data.answers || [];
            if (rows.length || answers.length) call(handlers, event, { ...data, rows, answers });
        } else if (event === "log") {
            if (topic.topic === "log" && (!data.to || [].concat(data.to).includes(want.wire))) call(handlers, event, data);
        } else if (event === "sandbox") {
            if (topic.topic === "sandbox" && topic.account === data.account) sandboxEvent(topic, handlers, data);
        } else if (event === "refused") {
            if (data.wire === want.wire) call(handlers, event, data.error);
        } else if (!data.topic || (data.topic === topic.topic && (!data.to || (topic.topic !== "traffic" && topic.topic !== "log") || data.to === want.wire))) {
            call(handlers, event, data);
        }
    }
}

/**
 * Hand over the entries that this subscription has not seen.
 * @param {Topic} topic @param {Handlers} handlers @param {any} data
 */
function sandboxEvent(topic, handlers, data) {
    const last = topic.after;
    let entries = data.entries || [];
    if (!data.missed && typeof last === "number") {
        entries = entries.filter((entry) => entry.seq > last);
        if (!entries.length) return;
    }
    topic.after = typeof data.last === "number" ? data.last : entries.length ? entries[entries.length - 1].seq : last;
    call(handlers, "sandbox", { ...data, entries });
}

/** Compare the server's static files with the page's. @param {string} assets */
function checkAssets(assets) {
    serverAssets = assets;
    updated.value = Boolean(pageAssets && assets && assets !== pageAssets);
}
let serverAssets = "";

/** Note in this tab what the stream is doing. @param {string} state as `connection` */
function showState(state) {
    connection.value = state;
    if (state === "connecting") {
        if (!lostTimer && !connectionLost.value) {
            lostTimer = setTimeout(() => {
                lostTimer = null;
                connectionLost.value = connection.value === "connecting";
            }, SHOW_LOST_AFTER);
        }
    } else {
        if (lostTimer) clearTimeout(lostTimer);
        lostTimer = null;
        connectionLost.value = false;
    }
}
/** @type {any} */
let lostTimer = null;

/** @param {string} event @param {any} data */
function handOn(event, data) {
    if (channel && leading) channel.postMessage({ type: "event", event, data });
    dispatch(event, data);
}

/** @param {string} state */
function handOnState(state) {
    if (channel && leading) channel.postMessage({ type: "state", state });
    showState(state);
}

if (channel) {
    channel.onmessage = ({ data: message }) => {
        if (!started) return;
        if (message.type === "event" && !leading) dispatch(message.event, message.data);
        else if (message.type === "state" && !leading) {
            showState(message.state);
            if (message.assets) checkAssets(message.assets);
        } else if (message.type === "leader") {
            if (!leading) tellWants();
        } else if (leading && message.type === "want") {
            takeWants(message.tab, message.wants);
            channel.postMessage({ type: "state", state: connection.value, assets: serverAssets });
        } else if (leading && message.type === "retry") retryNow();
    };
}

/** Begin: take part in the browser's one stream, or open one. */
export function start() {
    if (started) return;
    started = true;
    showState("connecting");
    if (channel) {
        if (!ownLock) {
            ownLock = true; // held while the tab lives: the leader finds out by it which tabs are gone
            locks.request(`${name}:${tab}`, () => new Promise(() => {})).catch(() => {});
        }
        stand();
        tellWants();
    } else if (!document.hidden) {
        lead();
    }
}

/** End: logged out. */
export function stop() {
    started = false;
    stepDown();
    showState("stopped");
}

/** Wait for the lock that makes this tab the leader. */
function stand() {
    if (lockRequest || !started) return;
    const request = new AbortController();
    const asked = Date.now();
    lockRequest = request;
    locks.request(name, { signal: request.signal }, async () => {
        // A leader that logged out says so, but its lock may be here before its word.
        if (Date.now() - asked > SUCCESSION) await new Promise((resolve) => setTimeout(resolve, SUCCESSION));
        if (lockRequest !== request || !started) return;
        await new Promise((resolve) => {
            releaseLock = () => resolve(undefined);
            lead();
        });
    }).catch(() => {});
}

/** Close the stream and let another tab be the leader. */
function stepDown() {
    if (lockRequest) lockRequest.abort();
    lockRequest = null;
    close();
    leading = false;
    if (releaseLock) releaseLock();
    releaseLock = null;
}

/** Try at once instead of after the delay. */
export function retryNow() {
    if (channel && !leading) channel.postMessage({ type: "retry" });
    else if (leading && connection.value !== "open") open();
}

document.addEventListener("visibilitychange", () => {
    if (!started) return;
    if (!channel) {
        if (document.hidden) stepDown();
        else if (!leading) lead();
    } else if (!document.hidden && leading) {
        // Timers of hidden tabs are slow, and those of a sleeping machine stand still.
        if (connection.value === "connecting") open();
        else checkSilence();
    }
});
// A page in the back/forward cache, or a frozen one, runs no code: it must not stay the leader.
window.addEventListener("pagehide", () => {
    if (channel) channel.postMessage({ type: "want", tab, wants: [] });
    if (started) stepDown();
});
window.addEventListener("pageshow", (event) => event.persisted && comeBack());
document.addEventListener("freeze", () => started && stepDown());
document.addEventListener("resume", comeBack);
window.addEventListener("online", () => started && retryNow());

function comeBack() {
    if (!started) return;
    showState("connecting");
    if (channel) {
        stand();
        tellWants();
    } else if (!document.hidden && !leading) {
        lead();
    }
}

// ---- of the leader ------------------------------------------------------------------------------------------------

/** What each tab wants. @type {Map<string, Want[]>} */
let wantsOfTabs = new Map();
/**
 * Per subscription on the stream: the keys that share it, the number of a sandbox's last entry (`topic.after`), the
 * one after which the server was asked to begin (`from`: a subscription that stays the same goes on), a number that
 * is counted up where it shall begin anew (for a tab that has nothing yet), and whether the server refuses it.
 * @type {Map<string, {keys: Set<string>, topic: Topic, from: number | null | undefined, generation: number, refused: boolean}>}
 */
let wires = new Map();
/** @type {AbortController | null} */
let request = null;
let streamId = "";
let delay = FIRST_DELAY;
let heardAt = 0;
/** @type {any} */
let retryTimer = null;
/** @type {any} */
let pruneTimer = null;
let posting = false;
let postAgain = false;

function lead() {
    leading = true;
    wantsOfTabs = new Map();
    wires = new Map();
    delay = FIRST_DELAY;
    if (channel) {
        channel.postMessage({ type: "leader" });
        pruneTimer = setInterval(prune, PRUNE_EACH);
    } else {
        pruneTimer = setInterval(checkSilence, PRUNE_EACH / 2);
    }
    tellWants();
    open();
}

/** Close the stream for good. */
function close() {
    clearTimeout(retryTimer);
    clearInterval(pruneTimer);
    retryTimer = null;
    streamId = "";
    if (request) request.abort();
    request = null;
}

/** Forget the tabs that were closed without telling it: nobody holds their locks. */
async function prune() {
    checkSilence();
    const { held } = await locks.query();
    const there = new Set((held || []).map((lock) => lock.name));
    for (const other of wantsOfTabs.keys()) {
        if (other !== tab && !there.has(`${name}:${other}`)) takeWants(other, []);
    }
}

/** Open the stream anew where nothing has arrived for three of the server's comments. */
function checkSilence() {
    if (leading && connection.value === "open" && Date.now() - heardAt > SILENT_AFTER) open();
}

/** Take what a tab wants, and subscribe to the union. @param {string} from @param {Want[]} wants */
function takeWants(from, wants) {
    if (wants.length) wantsOfTabs.set(from, wants);
    else wantsOfTabs.delete(from);
    const all = [...wantsOfTabs.values()].reduce((list, each) => list.concat(each), []);
    const live = new Set(all.map((want) => want.key));
    for (const [wire, known] of wires) {
        for (const key of known.keys) if (!live.has(key)) known.keys.delete(key);
        if (!known.keys.size) wires.delete(wire);
    }
    for (const want of all) {
        const known = wires.get(want.wire);
        if (!known) {
            wires.set(want.wire, { keys: new Set([want.key]), topic: { ...want.topic }, from: want.topic.after, generation: 0, refused: false });
        } else if (!known.keys.has(want.key)) {
            known.keys.add(want.key);
            const { after } = want.topic;
            const behind = typeof after === "number" && typeof known.topic.after === "number" && after < known.topic.after;
            if (behind) {
                known.topic.after = after;
                known.from = after;
            }
            if (behind || want.topic.topic === "links" || want.topic.topic === "alerts") known.generation += 1;
        }
    }
    postWants();
}

/** Tell the server the union; one request at a time. */
async function postWants() {
    if (!streamId) return;
    if (posting) {
        postAgain = true;
        return;
    }
    posting = true;
    const id = streamId;
    try {
        do {
            postAgain = false;
            const union = [...wires].filter(([, known]) => !known.refused).slice(0, MAX_SUBSCRIPTIONS);
            try {
                await post(`stream/${id}`, { subscriptions: union.map(subscriptionOf) });
            } catch (error) {
                if (!isRefusal(error)) throw error;
                await findRefused(id, union);
            }
        } while (postAgain && id === streamId);
    } catch {
        // The stream is gone (404), or the service is: only a new stream helps.
        if (id === streamId) later();
    } finally {
        posting = false;
        if (postAgain && streamId) postWants();
    }
}

/** A subscription as the server takes it; a filter has the same id in all tabs, the others begin anew by theirs. @param {any} entry */
function subscriptionOf([wire, known]) {
    const { topic, from, generation } = known;
    return topic.topic === "traffic" || topic.topic === "log" ? { ...topic, id: wire } : { ...topic, after: from, id: `${wire}-${generation}` };
}

/** Whether the server refuses a subscription, not the stream. @param {any} error */
const isRefusal = (error) => error.status >= 400 && error.status < 500 && error.status !== 401 && error.code !== "no_such_stream";

/** Subscribe one by one, and tell the tabs which one the server refuses. @param {string} id @param {any[]} union */
async function findRefused(id, union) {
    const accepted = [];
    for (const entry of union) {
        try {
            await post(`stream/${id}`, { subscriptions: [...accepted, entry].map(subscriptionOf) });
            accepted.push(entry);
        } catch (error) {
            if (!isRefusal(error)) throw error;
            const { code, args, sentence } = /** @type {any} */ (error);
            entry[1].refused = true;
            handOn("refused", { wire: entry[0], error: { code, args, sentence } });
        }
    }
}

/** Open the stream, after closing the one there is. */
async function open() {
    clearTimeout(retryTimer);
    retryTimer = null;
    if (request) request.abort();
    const mine = new AbortController();
    request = mine;
    streamId = "";
    heardAt = Date.now();
    handOnState("connecting");
    // Headers that do not arrive are as bad as comments that do not.
    const impatience = setTimeout(() => mine.abort(), MAX_DELAY);
    let next = () => later();
    try {
        const response = await fetch(`${apiBase}stream`, {
            headers: { Accept: "text/event-stream" }, signal: mine.signal, credentials: "same-origin", cache: "no-store",
        });
        clearTimeout(impatience);
        if (!response.ok || !response.body) {
            next = await refused(response);
        } else {
            await readEvents(response.body.getReader(), (event, data) => {
                if (request === mine) next = received(event, data) || next;
            });
        }
    } catch {
        // closed by us, or by the service, or there is no way to it: tried again below
    }
    clearTimeout(impatience);
    if (request === mine) next();
}

/** Return what to do after a refusal. @param {Response} response */
async function refused(response) {
    const error = errorOf(response.status, await response.json().catch(() => null));
    if (response.status === 401) return () => handOn("bye", { code: "logged_out" });
    return error.code === "too_many_streams" ? full : later;
}

/**
 * Take an event of the stream; return what to do when the stream has ended, where it is not to be opened again
 * after the usual delay.
 * @param {string} event @param {any} data
 */
function received(event, data) {
    if (event === "hello") {
        streamId = String(data.stream);
        delay = FIRST_DELAY;
        for (const known of wires.values()) {
            known.from = known.topic.after;
            known.refused = false;
        }
        handOnState("open");
        handOn(event, data);
        postWants();
        return undefined;
    }
    if (event === "sandbox") {
        const known = wires.get(`sandbox-${data.account}`);
        // What is on its way of a subscription that was begun anew further back would hide what comes before it.
        if (known && data.to && data.to !== `sandbox-${data.account}-${known.generation}`) return undefined;
        if (known && typeof data.last === "number") known.topic.after = data.last;
    }
    handOn(event, data);
    if (event === "bye") {
        if (data.code === "too_many_streams") return full;
        if (data.code === "token_changed" || data.code === "logged_out") return () => {};
    }
    return undefined;
}

/** Open the stream again after a delay that grows. */
function later() {
    if (!leading) return;
    if (request) request.abort();
    request = null;
    streamId = "";
    handOnState("connecting");
    clearTimeout(retryTimer);
    retryTimer = setTimeout(open, delay * (0.75 + Math.random() / 2));
    delay = Math.min(delay * 2, MAX_DELAY);
}

/** The server closed this stream since there were too many. */
function full() {
    if (!leading) return;
    request = null;
    streamId = "";
    handOnState("full");
    clearTimeout(retryTimer);
    retryTimer = setTimeout(open, FULL_DELAY);
}

/**
 * Read a text/event-stream until its end.
 * @param {ReadableStreamDefaultReader<Uint8Array>} reader
 * @param {(event: string, data: any) => void} handle
 */
async function readEvents(reader, handle) {
    const decoder = new TextDecoder();
    let pending = "";
    let event = "";
    /** @type {string[]} */
    let data = [];
    for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        heardAt = Date.now();
        const lines = (pending + decoder.decode(value, { stream: true })).split("\n");
        pending = lines.pop() || "";
        for (const raw of lines) {
            const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
            if (line.startsWith("event:")) event = line.slice(6).trim();
            else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
            else if (!line && data.length) {
                const text = data.join("\n");
                let parsed = null;
                try {
                    parsed = JSON.parse(text);
                } catch {
                    parsed = null; // not of this interface
                }
                if (parsed !== null) handle(event || "message", parsed);
                event = "";
                data = [];
            } else if (!line) event = "";
        }
    }
}
