// @ts-check
/** The log: the last 1,000 lines, by level and text, as they are written. */

import { get, urlOf } from "../core/api.js";
import { clock, dateTime, number } from "../core/format.js";
import { errorText, t } from "../core/i18n.js";
import { subscribe } from "../core/stream.js";
import { perTab } from "../core/store.js";
import { Bar, Button, Check, classes, Empty, Field, html, Icon, Problem, Select, useEffect, useLayoutEffect, useRef, useState } from "../core/ui.js";

/** As many lines as the server keeps. */
const MAX_LINES = 1000;
/** Milliseconds after the last key before the server is asked. */
const ASK_AFTER = 250;
/** Milliseconds within which the server knows of a subscription. */
const COMPLETE_AFTER = 1500;
/** Pixels from the end within which the reader is at the end. */
const AT_END = 30;

const LEVELS = ["debug", "info", "warn", "error", "critical"];
const ICONS = { debug: "more", info: "info", warn: "warning", error: "close", critical: "close" };

/** @param {string} level of twisted.logger */
const levelOf = (level) => (LEVELS.includes(level) ? level : "info");

/** A line; a failure's traceback is folded. @param {{line: any}} props */
function Line({ line }) {
    const level = levelOf(line.level);
    return html`<li class=${classes("record", level)}>
        <time class="record-time numbers" datetime=${new Date(line.t * 1000).toISOString()} title=${dateTime(line.t)}>${clock(line.t)}</time>
        <span class="record-level"><${Icon} name=${ICONS[level]} /><span>${t(`log.level.${level}`)}</span></span>
        <span class="record-text">${line.system && line.system !== "-" && html`<bdi class="peer record-system" title=${line.system}>${line.system.split(".").pop()}</bdi> `}<bdi class="peer">${line.text}</bdi>
            ${line.failure && html`<details class="more"><summary><${Icon} name="right" /><span>${t("log.failure")}</span></summary><pre class="record-failure" tabindex="0"><bdi class="peer">${line.failure}</bdi></pre></details>`}</span></li>`;
}

export default function Page() {
    const [level, setLevel] = useState(perTab.get("log.level") || "info");
    const [text, setText] = useState("");
    const [asked, setAsked] = useState("");
    const [paused, setPaused] = useState(false);
    const [follow, setFollow] = useState(true);
    const [error, setError] = useState(/** @type {any} */ (null));
    const [loaded, setLoaded] = useState(false);
    const [, repaint] = useState(0);
    const box = useRef(/** @type {any} */ (null));
    const kept = useRef(/** @type {any} */ (null));
    if (!kept.current) kept.current = { lines: [], waiting: 0, dropped: 0, paused: false };
    const live = kept.current;

    useEffect(() => {
        if (text.trim() === asked) return undefined;
        const timer = setTimeout(() => setAsked(text.trim()), ASK_AFTER);
        return () => clearTimeout(timer);
    }, [text]);

    useEffect(() => {
        let alive = true;
        let ready = false;
        /** What came of the stream before the answer of GET log. @type {any[]} */
        let early = [];
        live.lines = [];
        live.waiting = 0;
        live.dropped = 0;
        setLoaded(false);
        const draw = () => repaint((count) => count + 1);
        /** Put lines in by their number: the answer and the stream may both bring one. @param {any[]} lines */
        const put = (lines) => {
            const known = new Set(live.lines.map((line) => line.n));
            const fresh = lines.filter((line) => !known.has(line.n));
            if (fresh.length) live.lines = live.lines.concat(fresh).sort((one, other) => one.n - other.n).slice(-MAX_LINES);
        };
        const load = async () => {
            ready = false;
            try {
                const answer = await get("log", { level, text: asked });
                if (!alive) return;
                live.lines = answer.lines.slice(-MAX_LINES);
                put(early);
                early = [];
                setError(null);
            } catch (refusal) {
                if (alive) setError(refusal);
            }
            ready = true;
            // What has come since it was paused stays counted.
            if (!live.paused) live.waiting = 0;
            live.dropped = 0;
            setLoaded(true);
            draw();
        };
        /** Ask for what was written after the answer and before the subscription began. */
        const complete = async () => {
            const answer = live.lines.length && !live.paused
                ? await get("log", { level, text: asked, after: live.lines[live.lines.length - 1].n }).catch(() => null) : null;
            if (!alive || !answer || live.paused) return;
            put(answer.lines);
            draw();
        };
        const filter = /** @type {Record<string, any>} */ ({ level });
        if (asked) filter.text = asked;
        const stop = subscribe({ topic: "log", filter }, {
            // Opened again: lines may have been missed, or another start has begun its own numbers.
            connected() { if (!live.paused) load(); },
            log({ lines }) {
                if (!ready) early.push(...lines);
                else if (live.paused) live.waiting += lines.length;
                else put(lines);
                draw();
            },
            dropped({ count }) {
                live.dropped += count;
                draw();
            },
            refused: setError,
        });
        live.load = load;
        load();
        const timer = setTimeout(complete, COMPLETE_AFTER);
        return () => {
            alive = false;
            clearTimeout(timer);
            stop();
        };
    }, [level, asked]);

    useLayoutEffect(() => {
        if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
    });
    const scrolled = (event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        const end = scrollHeight - clientHeight - scrollTop < AT_END;
        if (end !== follow) setFollow(end);
    };
    const pause = () => {
        live.paused = !paused;
        setPaused(live.paused);
        if (!live.paused) live.load();
    };
    const chooseLevel = (value) => {
        perTab.set("log.level", value);
        setLevel(value);
    };
    return html`<div class="log-head"><h1>${t("log.title")}</h1>
            <${Select} label=${t("log.level")} value=${level} onChange=${chooseLevel} options=${LEVELS.map((each) => [each, t("log.from_level", { level: t(`log.level.${each}`) })])} />
            <${Field} class="grow" label=${t("log.text")} type="search" value=${text} autocomplete="off" onInput=${(event) => setText(event.currentTarget.value)} />
            <div class="row log-buttons"><${Check} label=${t("log.follow")} checked=${follow} onChange=${setFollow} />
                <${Button} icon=${paused ? "play" : "pause"} aria-pressed=${paused ? "true" : "false"} onClick=${pause}>${t(paused ? "log.go_on" : "log.pause")}<//>
                <a class="button" href=${urlOf("log/download")} download><${Icon} name="download" /><span>${t("log.download")}</span></a>
                <a class="button quiet" href="#/traffic"><${Icon} name="pulse" /><span>${t("log.traffic")}</span></a></div></div>
        ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}
        <div class="log-notes" aria-live="polite">${paused && html`<${Bar} kind="info">${t("log.paused", { n: number(live.waiting) })}<//>`}
            ${live.dropped > 0 && !paused && html`<${Bar} kind="warning" action=${html`<${Button} onClick=${() => live.load()}>${t("frame.retry")}<//>`}>${t("log.dropped", { n: number(live.dropped) })}<//>`}</div>
        <div class="card log-box" ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-live="off" aria-label=${t("log.title")}>
            ${live.lines.length > 0 ? html`<ol class="records mono">${live.lines.map((line) => html`<${Line} key=${line.n} line=${line} />`)}</ol>`
                : loaded && !error && html`<${Empty} title=${t(asked || level !== "debug" ? "log.none_fits" : "log.none")} />`}</div>
        <p class="muted small log-foot">${t("log.count", { n: number(live.lines.length) })} · ${t("log.elsewhere")}
            ${!follow && live.lines.length > 0 && html` <button type="button" class="link-button" onClick=${() => setFollow(true)}>${t("log.to_end")}</button>`}</p>`;
}
