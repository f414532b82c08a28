// @ts-check
/** What a message is made of. Everything of peers is text; files are loaded from this sandbox only. */

import { errorText, hasWords, t } from "../../core/i18n.js";
import { bytes, dateTime } from "../../core/format.js";
import { Button, classes, Dialog, html, Icon, Peer, useEffect, useState } from "../../core/ui.js";
import { getForward, mediaUrl, version, world } from "./store.js";
import { cut, faceName, nameOf, segmentText } from "./names.js";
import { dialog } from "./menu.js";

/** The text of one value; not more than is reasonable at once. @param {any} value */
const textOf = (value) => (typeof value === "string" ? value : value === null || value === undefined ? "" : JSON.stringify(value));

/** @param {{data: any, name: string}} props */
function ForeignFile({ data, name }) {
    const url = textOf(data.url || data.file);
    if (/^https?:\/\//i.test(url)) {
        return html`<a class="peer" href=${url} target="_blank" rel="noreferrer noopener"><bdi>[${name}] ${cut(url, 120)}</bdi></a>`;
    }
    return html`<bdi class="peer muted">[${name}] ${cut(textOf(data.name || data.file), 80)}</bdi>`;
}

/** @param {{data: any}} props */
function Picture({ data }) {
    const [failed, setFailed] = useState(false);
    const url = mediaUrl(data);
    if (!url) return html`<${ForeignFile} data=${data} name=${t("sandbox.part.image")} />`;
    if (failed) return html`<span class="muted">[${t("sandbox.image_gone")}]</span>`;
    return html`<button type="button" class="picture" aria-label=${t("sandbox.image_open")} onClick=${() => { dialog.value = { kind: "picture", url }; }}>
        <img src=${url} alt=${cut(textOf(data.summary), 60) || t("sandbox.part.image")} loading="lazy" onError=${() => setFailed(true)} /></button>`;
}

/** @param {{name: any, size?: any, url: string}} props */
export function FileCard({ name, size, url }) {
    const inner = html`<${Icon} name=${url ? "download" : "warning"} /><span class="file-text"><${Peer} text=${name} inline />
        ${size !== undefined && size !== "" && html`<span class="muted small">${bytes(Number(size) || 0)}</span>`}</span>`;
    return url ? html`<a class="file-card" href=${url} download=${cut(name, 120)}>${inner}</a>` : html`<span class="file-card">${inner}</span>`;
}

/** A part that is shown as a labelled box of text. @param {{label: string, text: string}} props */
function TextCard({ label, text }) {
    return html`<span class="text-card"><span class="muted small">${label}</span><${Peer} text=${text} lines=${10} /></span>`;
}

/** A text: in the line with what is beside it, or where it is long in a box that opens. @param {{text: string}} props */
function Words({ text }) {
    if (text.length <= 1500 && text.split("\n", 18).length < 18) return html`<bdi class="peer">${text}</bdi>`;
    return html`<${Peer} text=${text} lines=${10} />`;
}

/** One segment of a message. @param {{segment: any, message: any, onJump?: (id: number) => void}} props */
export function Segment({ segment, message, onJump }) {
    const data = (segment && segment.data) || {};
    const now = world.peek();
    const name = hasWords(`sandbox.part.${segment.type}`) ? t(`sandbox.part.${segment.type}`) : cut(segment.type, 40);
    switch (segment.type) {
        case "text": return html`<${Words} text=${textOf(data.text)} />`;
        case "at": return html`<bdi class=${classes("at", String(data.qq) === String(now && now.id) && "at-bot")}>${segmentText(now, segment, message).trim()}</bdi>`;
        case "face": return html`<span class="face" title=${t("sandbox.face", { id: cut(data.id, 12) })}>${faceName(data.id)}</span>`;
        case "reply": return html`<${Quote} id=${Number(data.id)} text=${data.text} onJump=${onJump} />`;
        case "image": return html`<${Picture} data=${data} />`;
        case "record": {
            const url = mediaUrl(data);
            return url ? html`<audio controls preload="none" src=${url} aria-label=${name}></audio>` : html`<${ForeignFile} data=${data} name=${name} />`;
        }
        case "video": {
            const url = mediaUrl(data);
            return url ? html`<video controls preload="metadata" src=${url} aria-label=${name}></video>` : html`<${ForeignFile} data=${data} name=${name} />`;
        }
        case "file": return mediaUrl(data) ? html`<${FileCard} name=${data.name || data.file} size=${data.file_size} url=${mediaUrl(data)} />`
            : html`<${ForeignFile} data=${data} name=${name} />`;
        case "forward": return html`<${ForwardCard} id=${textOf(data.id)} />`;
        case "markdown": return html`<${TextCard} label=${name} text=${textOf(data.content || data.data || data)} />`;
        case "json": case "xml": return html`<${TextCard} label=${name} text=${textOf(data.data)} />`;
        default: return html`<${TextCard} label=${name} text=${JSON.stringify(data)} />`;
    }
}

/** What a message answers. @param {{id: number, text?: any, onJump?: (id: number) => void}} props */
function Quote({ id, text, onJump }) {
    version.value;
    const now = world.peek();
    const quoted = now && now.messages.get(id);
    const group = quoted && quoted.group_id ? now.groups.get(quoted.group_id) : null;
    const words = quoted ? html`<span class="quote-who">${quoted.anonymous ? t("sandbox.anonymous") : nameOf(now, quoted.user_id, group)}</span>
        <${Peer} text=${quoted.recalled ? t("sandbox.recalled_short") : (quoted.message || []).map((each) => segmentText(now, each, quoted)).join("")} inline />`
        : html`<span class="muted">${text ? cut(text, 100) : t("sandbox.quote_gone", { id: Number.isFinite(id) ? id : "?" })}</span>`;
    if (!quoted || !onJump) return html`<span class="quote">${words}</span>`;
    return html`<button type="button" class="quote" aria-label=${t("sandbox.quote_jump", { id })} onClick=${() => onJump(id)}>${words}</button>`;
}

/** @param {{id: string}} props */
function ForwardCard({ id }) {
    return html`<button type="button" class="forward-card" onClick=${() => { dialog.value = { kind: "forward", id }; }}>
        <${Icon} name="chat" /><span class="grow">${t("sandbox.forward")}</span><${Icon} name="right" /></button>`;
}

const NODES_AT_ONCE = 50;

/** The nodes of a merged forward message. @param {{nodes: any[], depth?: number}} props */
function Nodes({ nodes, depth = 0 }) {
    const [count, setCount] = useState(NODES_AT_ONCE);
    return html`<ol class="nodes">${nodes.slice(0, count).map((node, index) => {
        const data = (node && node.data) || {};
        const content = Array.isArray(data.content) ? data.content : [{ type: "text", data: { text: textOf(data.content) } }];
        const inner = content.length && content[0] && content[0].type === "node";
        const user = data.user_id || data.uin;
        return html`<li key=${index} class="node"><div class="node-head"><${Peer} text=${data.nickname || data.name || user || "?"} inline />
                <span class="muted small">${user ? cut(user, 20) : ""}${Number(data.time) > 0 ? ` · ${dateTime(Number(data.time))}` : ""}</span></div>
            <div class="node-body">${data.id && !data.content ? t("sandbox.node_by_id", { id: cut(data.id, 20) })
                : inner ? (depth > 8 ? "…" : html`<${Nodes} nodes=${content} depth=${depth + 1} />`)
                : content.map((segment, each) => html`<${Segment} key=${each} segment=${segment} message=${{}} />`)}</div></li>`;
    })}
    ${nodes.length > count && html`<li><${Button} onClick=${() => setCount(count + 4 * NODES_AT_ONCE)}>${t("ui.more_items", { n: nodes.length - count })}<//></li>`}</ol>`;
}

/** @param {{id: string, onClose: () => void}} props */
export function ForwardDialog({ id, onClose }) {
    const [found, setFound] = useState(/** @type {any} */ (null));
    const [error, setError] = useState("");
    useEffect(() => {
        let live = true;
        setFound(null);
        getForward(id).then((answer) => live && setFound(answer), (thrown) => live && setError(errorText(thrown)));
        return () => { live = false; };
    }, [id]);
    return html`<${Dialog} title=${t("sandbox.forward")} onClose=${onClose} wide>
        ${error ? html`<p role="alert"><${Peer} text=${error} /></p>` : found ? html`<${Nodes} nodes=${found.nodes || []} />` : html`<p class="muted" role="status">${t("sandbox.loading")}</p>`}<//>`;
}
