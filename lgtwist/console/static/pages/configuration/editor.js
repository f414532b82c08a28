// @ts-check
/** The file as text: line numbers, every mistake at its place while one types, and what to do when it changes on disk. */

import { get, post } from "../../core/api.js";
import { Difference, Mistakes, mistakeText, saveText } from "../../core/configuration.js";
import { errorText, t } from "../../core/i18n.js";
import { Bar, Button, classes, Dialog, Field, html, Problem, Tabs, useEffect, useLayoutEffect, useRef, useState } from "../../core/ui.js";
import { config, load, moved, raw } from "./state.js";

/** Milliseconds after the last key before the text is checked, and between two looks at the file on the disk. */
const CHECK_AFTER = 350;
const LOOK_EACH = 8000;

/** The line numbers, with a mark at each line that has a mistake. @param {{count: number, wrong: Map<number, string>, scroll: any}} props */
function Gutter({ count, wrong, scroll }) {
    return html`<div class="gutter mono" aria-hidden="true" ref=${scroll}>${Array.from({ length: count }, (_, index) => html`
        <span key=${index} class=${classes("gutter-line", wrong.has(index + 1) && "wrong")} title=${wrong.get(index + 1)}>${wrong.has(index + 1) ? `! ${index + 1}` : index + 1}</span>`)}</div>`;
}

/** Both versions, and which one goes on. @param {{now: any, mine: any, drop: () => void, keep: () => void, close: () => void}} props */
function Conflict({ now, mine, drop, keep, close }) {
    const [view, setView] = useState("difference");
    const [checked, setChecked] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    useEffect(() => {
        post("config/check", { etag: now.etag, text: moved(mine.text, mine.base, now.text) }).then(setChecked, setError);
    }, [now.etag]);
    return html`<${Dialog} wide title=${t("configuration.conflict")} onClose=${close} actions=${html`<${Button} onClick=${drop}>${t("configuration.drop_mine")}<//>
            <${Button} kind="primary" onClick=${keep}>${t("configuration.keep_mine")}<//>`}>
        <div class="stack"><p>${t("configuration.conflict_what")}</p>
            <${Tabs} label=${t("configuration.conflict")} value=${view} onChange=${setView} tabs=${["difference", "now", "mine"].map((each) => [each, t(`configuration.version_${each}`)])}>
                ${view === "difference" ? error ? html`<${Problem} error=${error} text=${errorText(error)} />` : checked && html`<${Difference} lines=${checked.diff} />`
                    : html`<pre class="version" tabindex="0"><code class="peer">${view === "now" ? now.text : mine.text}</code></pre>`}<//></div><//>`;
}

export function Editor() {
    const known = config.value;
    const draft = raw.value || { etag: known.etag, base: known.text, text: known.text };
    const [checked, setChecked] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    const [newer, setNewer] = useState(/** @type {any} */ (null));
    const [open, setOpen] = useState(false);
    const [taken, setTaken] = useState(false);
    const area = useRef(/** @type {any} */ (null));
    const gutter = useRef(/** @type {any} */ (null));
    const asked = useRef(0);
    const dirty = draft.text !== draft.base;

    useEffect(() => {
        asked.current += 1;
        const mine = asked.current;
        const timer = setTimeout(async () => {
            try {
                const answer = await post("config/check", { etag: draft.etag, text: draft.text });
                if (asked.current !== mine) return;
                setChecked(answer);
                setError(null);
            } catch (refusal) {
                if (asked.current !== mine) return;
                if (/** @type {any} */ (refusal).code === "changed") look();
                else setError(refusal);
            }
        }, checked ? CHECK_AFTER : 0);
        return () => clearTimeout(timer);
    }, [draft.text, draft.etag]);
    useEffect(() => () => { asked.current += 1; }, []);

    /** Take a newer file: at once where nothing was written, else it is told. @param {any} now */
    const found = (now) => {
        const mine = raw.peek();
        if (now.etag === (mine || config.peek()).etag) {
            setNewer(null);
        } else if (!mine || mine.text === mine.base) {
            raw.value = null;
            config.value = now;
            setTaken(true);
            setNewer(null);
        } else {
            setNewer(now);
        }
    };
    const look = async () => {
        try {
            found(await get("config"));
        } catch {
            // the frame says that the connection is lost
        }
    };
    useEffect(() => {
        const glance = () => { if (!document.hidden) look(); };
        const timer = setInterval(glance, LOOK_EACH);
        window.addEventListener("focus", glance);
        glance();
        return () => {
            clearInterval(timer);
            window.removeEventListener("focus", glance);
        };
    }, []);
    useLayoutEffect(() => {
        if (gutter.current && area.current) gutter.current.scrollTop = area.current.scrollTop;
    });

    const write = (text) => {
        setTaken(false);
        raw.value = text === draft.base ? null : { etag: draft.etag, base: draft.base, text };
    };
    const drop = async () => {
        raw.value = null;
        setOpen(false);
        setNewer(null);
        setChecked(null);
        await load();
    };
    const keep = () => {
        raw.value = { etag: newer.etag, base: newer.text, text: moved(draft.text, draft.base, newer.text) };
        config.value = newer;
        setOpen(false);
        setNewer(null);
    };
    const save = async () => {
        const saved = await saveText(draft.text, draft.etag, { title: "lgtwist.toml", conflict: (now) => { setNewer(now); setOpen(true); } });
        if (!saved) return;
        raw.value = null;
        setChecked(null);
        await load();
    };
    const lines = draft.text.split("\n");
    const problems = (checked && checked.problems) || [];
    const wrong = new Map(problems.filter((each) => each.line).map((each) => [each.line, mistakeText(each)]));
    const go = ({ line, column }) => {
        const box = area.current;
        const at = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0) + Math.max(0, (column || 1) - 1);
        box.focus();
        box.setSelectionRange(at, Math.min(draft.text.length, at + 1));
        const height = box.scrollHeight / Math.max(1, lines.length);
        box.scrollTop = Math.max(0, (line - 4) * height);
    };
    return html`<section class="section" aria-label="lgtwist.toml">
        ${newer && html`<${Bar} kind="warning" action=${html`<${Button} onClick=${() => setOpen(true)}>${t("configuration.look")}<//>`}>${t("configuration.changed_on_disk")}<//>`}
        ${taken && html`<${Bar} kind="info">${t("configuration.taken")}<//>`}
        <${Field} label=${known.path || "./lgtwist.toml"} hint=${t("configuration.masks")} class="editor-field">${(attributes) => html`<div class="editor">
            <${Gutter} count=${lines.length} wrong=${wrong} scroll=${gutter} />
            <textarea ...${attributes} ref=${area} class="mono" rows=${Math.min(30, Math.max(14, lines.length + 1))} spellcheck=${false} autocapitalize="off" autocomplete="off" wrap="off" dir="ltr" value=${draft.text}
                aria-invalid=${problems.length ? "true" : undefined} onInput=${(event) => write(event.currentTarget.value)}
                onScroll=${(event) => { if (gutter.current) gutter.current.scrollTop = event.currentTarget.scrollTop; }}></textarea></div>`}<//>
        <div class="stack" aria-live="polite">${error && html`<${Problem} error=${error} text=${errorText(error)} />`}
            ${problems.length > 0 ? html`<p class="muted">${t("configuration.mistakes", { n: problems.length })}</p><${Mistakes} list=${problems} go=${go} />`
                : checked && html`<p class="muted">${t("configuration.no_mistakes")}</p>`}</div>
        <div class="row"><${Button} kind="primary" icon="check" disabled=${!dirty || problems.length > 0} onClick=${save}>${t("configuration.review")}<//>
            ${dirty && html`<${Button} onClick=${drop}>${t("configuration.discard")}<//><span class="chip warning">${t("configuration.unsaved")}</span>`}</div>
        ${open && newer && html`<${Conflict} now=${newer} mine=${draft} drop=${drop} keep=${keep} close=${() => setOpen(false)} />`}
    </section>`;
}
