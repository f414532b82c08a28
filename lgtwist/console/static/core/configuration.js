// @ts-check
/**
 * Changes of the configuration file: what they make of it is shown before it is saved, then it is loaded anew.
 *
 * `editConfiguration(edits, {title})` is for forms; `saveText(text, base, {title})` for the file as text.
 */

import { get, onLoggedOut, post, put } from "./api.js";
import { errorText, hasWords, reasonText, t } from "./i18n.js";
import { Bar, Button, classes, Code, Dialog, Field, html, Icon, IconText, Peer, Problem, render, signal, useEffect, useState } from "./ui.js";

/**
 * @typedef {{op: "set" | "unset" | "add" | "remove", path: Array<string | number>, value?: any}} Edit
 * @typedef {{path?: string, line?: number | null, column?: number | null, sentence: string, code?: string, args?: any}} Mistake
 * @typedef {{kind: "same" | "old" | "new", text: string}} DiffLine
 * @typedef {{etag: string, text: string, problems: Mistake[], diff: DiffLine[]}} Prepared
 * @typedef {{title: string, after?: () => any, note?: any}} Options
 */

/** Counts the changes that were saved in this tab, for pages that show the file. */
export const saves = signal(0);

/** The keys that wait for a restart, as the server last said. */
export const waiting = signal(/** @type {string[]} */ ([]));

/** Lines of what stays the same that are shown before and behind each change. */
const CONTEXT = 3;

/**
 * Show what some edits make of the configuration file, and save them where the reader says so.
 *
 * Paths name a bot by its name and an account by its number: `["bots", "nonebot", "actions", "deny"]`. `after`
 * returns what is shown when it is saved (a new token to be copied); `note` is shown above the difference.
 * @param {Edit[]} edits
 * @param {Options} options
 * @returns {Promise<boolean>} whether it was saved
 */
export function editConfiguration(edits, options) {
    return show(options, async () => {
        for (let tries = 0; ; tries += 1) {
            const { etag } = await get("config");
            try {
                return { etag, ...await post("config/edit", { etag, edits }) };
            } catch (error) {
                // Written between the two requests: once more.
                if (/** @type {any} */ (error).code !== "changed" || tries > 2) throw error;
            }
        }
    });
}

/**
 * Show what a text changes in the configuration file, and save it where the reader says so.
 *
 * Where the file was changed meanwhile, `conflict(now)` is called with the answer of GET config and the dialog
 * closes: the caller shows both.
 * @param {string} text
 * @param {string} etag of the file that the text was made of
 * @param {Options & {conflict: (now: any) => void}} options
 * @returns {Promise<boolean>} whether it was saved
 */
export function saveText(text, etag, options) {
    return show(options, async () => ({ etag, text, ...await post("config/check", { etag, text }) }));
}

/**
 * Show the dialog that saves a change.
 * @param {Options & {conflict?: (now: any) => void}} options
 * @param {() => Promise<Prepared>} prepare
 * @returns {Promise<boolean>} whether it was saved
 */
function show(options, prepare) {
    const before = /** @type {any} */ (document.activeElement);
    const root = document.createElement("div");
    document.body.appendChild(root);
    return new Promise((resolve) => {
        const done = (saved) => {
            render(null, root);
            root.remove();
            resolve(saved);
            // The button that was pressed is disabled until the promise is settled.
            setTimeout(() => before && before.isConnected && document.activeElement === document.body && before.focus(), 50);
        };
        let ended = false;
        const close = () => {
            // A <dialog> that is taken away says once more that it was closed.
            if (ended) return;
            ended = true;
            window.removeEventListener("hashchange", close);
            forget();
            if (options.conflict && clash.now) options.conflict(clash.now);
            done(clash.saved);
        };
        const clash = { now: null, saved: false };
        // What was saved stays in view: a new admin token ends the session, and is shown there.
        const forget = onLoggedOut(() => { if (!clash.saved) close(); });
        window.addEventListener("hashchange", close);
        render(html`<${Saving} options=${options} prepare=${prepare} clash=${clash} close=${close} />`, root);
    });
}

/** Return the words of a reason that may be a plain sentence. @param {any} why */
const whyText = (why) => (why && typeof why === "object" ? reasonText(why, "cannot_write") : String(why || ""));

/** The dialog, from the difference to the reload. @param {{options: any, prepare: () => Promise<Prepared>, clash: any, close: () => void}} props */
function Saving({ options, prepare, clash, close }) {
    const [prepared, setPrepared] = useState(/** @type {Prepared | null} */ (null));
    const [step, setStep] = useState("loading");
    const [error, setError] = useState(/** @type {any} */ (null));
    const [block, setBlock] = useState(/** @type {any} */ (null));
    const [saved, setSaved] = useState(/** @type {any} */ (null));
    const [busy, setBusy] = useState(false);

    /** Somebody else wrote: a form begins anew; with a text, the page shows both. */
    const changed = async () => {
        if (!options.conflict) {
            setStep("changed");
            return;
        }
        clash.now = await get("config");
        close();
    };
    const begin = async () => {
        setError(null);
        setStep("loading");
        try {
            setPrepared(await prepare());
            setStep("difference");
        } catch (refusal) {
            if (/** @type {any} */ (refusal).code === "changed") {
                await changed();
                return;
            }
            setError(refusal);
            setStep("failed");
        }
    };
    useEffect(() => { begin(); }, []);

    /** @param {string} [token] */
    const save = async (token) => {
        if (!prepared) return;
        setBusy(true);
        setError(null);
        try {
            const answer = await put("config", { etag: prepared.etag, text: prepared.text, ...(token ? { token } : {}) });
            clash.saved = true;
            setSaved(answer);
            setStep("saved");
            saves.value += 1;
        } catch (refusal) {
            const { code, args } = /** @type {any} */ (refusal);
            if (code === "confirm_token") setStep("token");
            else if (code === "changed") await changed();
            else if (code === "cannot_write") {
                setBlock(args);
                setStep("cannot_write");
            } else if (args && Array.isArray(args.problems)) {
                setPrepared({ ...prepared, problems: args.problems });
                setStep("difference");
            } else setError(refusal);
        }
        setBusy(false);
    };
    const shut = () => { if (!busy) close(); };
    const cancel = html`<${Button} onClick=${shut}>${t("ui.cancel")}<//>`;

    if (step === "saved") return html`<${Saved} saved=${saved} options=${options} close=${close} />`;
    if (step === "token") return html`<${AskToken} title=${options.title} what=${t("save.token")} error=${error} submit=${save} close=${shut} />`;
    if (step === "cannot_write") {
        return html`<${Dialog} wide title=${options.title} onClose=${shut} actions=${html`<${Button} onClick=${shut}>${t("ui.close")}<//>`}>
            <div class="stack"><${Bar} kind="warning"><bdi class="peer">${t("save.cannot_write", { why: whyText(block.why) })}</bdi><//>
            ${block.block && html`<p>${t("save.paste")}</p><${Code} text=${block.block} label="lgtwist.toml" />`}
            ${/•{6}/.test(block.block || "") && html`<p><${IconText} icon="warning">${t("save.paste_masks")}<//></p>`}
            <p class="muted small">${t("save.paste_then")}</p>
            ${options.after && options.after()}</div><//>`;
    }
    if (step === "changed") {
        return html`<${Dialog} title=${options.title} onClose=${shut} actions=${html`${cancel}<${Button} kind="primary" onClick=${begin}>${t("save.anew")}<//>`}>
            <${Bar} kind="warning">${t("save.changed")}<//><//>`;
    }
    if (step === "loading" || !prepared) {
        return html`<${Dialog} wide title=${options.title} onClose=${shut} actions=${html`${cancel}${step === "failed" && html`<${Button} kind="primary" onClick=${begin}>${t("frame.retry")}<//>`}`}>
            ${step === "failed" ? html`<${Problem} error=${error} text=${errorText(error)} />` : html`<p role="status">${t("save.preparing")}</p>`}<//>`;
    }
    const mistakes = prepared.problems || [];
    const nothing = !prepared.diff.some((line) => line.kind !== "same");
    return html`<${Dialog} wide title=${options.title} onClose=${shut} actions=${html`${cancel}
            <${Button} kind="primary" icon="check" disabled=${mistakes.length > 0 || nothing || busy} onClick=${() => save()}>${t("save.save")}<//>`}>
        <div class="stack">${options.note}
            ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}
            ${mistakes.length > 0 && html`<${Bar} kind="bad">${t("save.mistakes", { n: mistakes.length })}<//><${Mistakes} list=${mistakes} />`}
            ${nothing ? html`<p>${t("save.nothing")}</p>` : html`<p class="muted small">${t("save.will")}</p><${Difference} lines=${prepared.diff} />`}
        </div><//>`;
}

/**
 * Ask for the admin token again.
 * @param {{title: string, what: string, error?: any, submit: (token: string) => Promise<any>, close: () => void, action?: string}} props
 */
export function AskToken({ title, what, error, submit, close, action }) {
    const [token, setToken] = useState("");
    const wrong = error && (error.code === "wrong_token" || error.code === "no_token_given" || error.code === "confirm_token");
    const send = (event) => {
        event.preventDefault();
        if (token.trim()) submit(token.trim());
    };
    return html`<${Dialog} title=${title} onClose=${close} actions=${html`<${Button} onClick=${close}>${t("ui.cancel")}<//>
            <${Button} kind="primary" disabled=${!token.trim()} onClick=${() => submit(token.trim())}>${action || t("save.save")}<//>`}>
        <form class="stack" onSubmit=${send}><p>${what}</p>
            <${Field} label=${t("login.token")} type="password" autocomplete="current-password" autofocus value=${token} error=${wrong ? errorText(error) : ""}
                onInput=${(event) => setToken(event.currentTarget.value)} />
            ${error && !wrong && html`<${Problem} error=${error} text=${errorText(error)} />`}</form><//>`;
}

/** What happened by saving: the reload's lines, what waits, and the restart. @param {{saved: any, options: any, close: () => void}} props */
function Saved({ saved, options, close }) {
    const [reload, setReload] = useState(/** @type {any} */ (null));
    const [error, setError] = useState(/** @type {any} */ (null));
    const load = async () => {
        setError(null);
        try {
            const answer = await post("reload");
            setReload(answer);
            waiting.value = answer.waiting || [];
        } catch (refusal) {
            setError(refusal);
        }
    };
    useEffect(() => { load(); }, []);
    return html`<${Dialog} wide title=${options.title} onClose=${close} actions=${html`<${Button} kind="primary" onClick=${close}>${t("save.done")}<//>`}>
        <div class="stack"><${Bar} kind="good">${t("save.saved")}${saved && saved.backup && html` <span class="small">${t("save.backup", { name: saved.backup })}</span>`}<//>
            <div class="stack" aria-live="polite">
                ${!reload && !error && html`<p>${t("save.reloading")}</p>`}
                ${error && html`<${Problem} error=${error} text=${`${t("save.not_reloaded")} ${errorText(error)}`} /><div><${Button} onClick=${load}>${t("frame.retry")}<//></div>`}
                ${reload && html`<${ReloadLines} reload=${reload} />`}</div>
            ${reload && reload.waiting && reload.waiting.length > 0 && html`<${Waiting} keys=${reload.waiting} />`}
            ${options.after && options.after()}</div><//>`;
}

/** What a reload said. @param {{reload: any}} props */
export function ReloadLines({ reload }) {
    const lines = (reload.lines || []).map((line) => (typeof line === "string" ? line : line.text));
    return html`${reload.applied === false ? html`<${Bar} kind="bad">${t("save.reload_refused")}<//>` : html`<p>${t(reload.changed ? "save.reloaded" : "save.reloaded_same")}</p>`}
        ${lines.length > 0 && html`<ul class="reload-lines mono">${lines.map((line) => html`<li><bdi class="peer">${line}</bdi></li>`)}</ul>`}`;
}

/** What waits for a restart, and a button for it. @param {{keys: string[]}} props */
export function Waiting({ keys }) {
    return html`<div class="stack"><p><${IconText} icon="warning">${t("save.waiting", { n: keys.length })}<//></p>
        <div class="chips">${keys.map((key) => html`<span class="chip warning mono"><bdi class="peer">${key}</bdi></span>`)}</div><${Restart} /></div>`;
}

/** Milliseconds between two looks whether the service is back, and how long they are taken. */
const LOOK_EACH = 700;
const LOOK_FOR = 60000;

/** A button that starts the service anew, after asking once, and says when it is back. */
export function Restart() {
    const [step, setStep] = useState("");
    const [token, setToken] = useState("");
    const [error, setError] = useState(/** @type {any} */ (null));
    /** @param {any} [shown] the admin token, where it was asked for */
    const restart = async (shown) => {
        setError(null);
        try {
            const { started } = await get("state");
            await post("restart", typeof shown === "string" ? { token: shown } : {});
            setStep("going");
            const until = Date.now() + LOOK_FOR;
            while (Date.now() < until) {
                await new Promise((resolve) => setTimeout(resolve, LOOK_EACH));
                const now = await get("state", undefined, { quiet: true }).catch(() => null);
                if (now && now.started !== started) {
                    waiting.value = [];
                    setStep("back");
                    return;
                }
            }
            setStep("missing");
        } catch (refusal) {
            const { code } = /** @type {any} */ (refusal);
            if (code === "confirm_token") setStep("token");
            else {
                if (code !== "wrong_token") setStep("");
                setError(refusal);
            }
        }
    };
    const confirm = (event) => {
        event.preventDefault();
        return token.trim() ? restart(token.trim()) : undefined;
    };
    return html`<div class="stack" aria-live="polite">
        ${step === "" && html`<div><${Button} icon="refresh" onClick=${() => setStep("asking")}>${t("save.restart")}<//></div>`}
        ${step === "asking" && html`<p>${t("save.restart_ask")}</p><div class="row"><${Button} onClick=${() => setStep("")}>${t("ui.cancel")}<//><${Button} kind="danger" icon="refresh" onClick=${restart}>${t("save.restart_yes")}<//></div>`}
        ${step === "token" && html`<form class="stack" onSubmit=${confirm}><p>${t("save.token")}</p><${Field} label=${t("login.token")} type="password" autocomplete="current-password" value=${token}
                onInput=${(event) => setToken(event.currentTarget.value)} /><div class="row"><${Button} onClick=${() => setStep("")}>${t("ui.cancel")}<//><${Button} type="submit" kind="danger" icon="refresh">${t("save.restart_yes")}<//></div></form>`}
        ${step === "going" && html`<p role="status">${t("save.restarting")}</p>`}
        ${step === "back" && html`<${Bar} kind="good">${t("save.back")}<//>`}
        ${step === "missing" && html`<${Bar} kind="bad">${t("save.missing")}<//>`}
        ${error && html`<${Problem} error=${error} text=${errorText(error)} />`}</div>`;
}

/**
 * Return the sentence of a mistake in the reader's language where there is one.
 * @param {Mistake} mistake
 */
export function mistakeText(mistake) {
    return mistake.code && hasWords(`mistake.${mistake.code}`) ? t(`mistake.${mistake.code}`, mistake.args || {}) : mistake.sentence;
}

/**
 * Mistakes with their places; a press on one calls `go`.
 * @param {{list: Mistake[], go?: (mistake: Mistake) => void}} props
 */
export function Mistakes({ list, go }) {
    return html`<ul class="mistakes">${list.map((each) => {
        const place = each.line ? t("save.place", { line: each.line, column: each.column || 1 }) : "";
        const text = html`${place && html`<span class="mistake-place numbers">${place}</span>`}
            <span class="grow">${each.path && html`<code class="peer">${each.path}</code> `}<${Peer} text=${mistakeText(each)} lines=${5} /></span>`;
        return html`<li>${go && each.line ? html`<button type="button" class="mistake" onClick=${() => go(each)}><${Icon} name="warning" />${text}</button>`
            : html`<div class="mistake"><${Icon} name="warning" />${text}</div>`}</li>`;
    })}</ul>`;
}

/**
 * The difference of two texts: what stays the same is left out but for some lines around the changes.
 * @param {{lines: DiffLine[]}} props
 */
export function Difference({ lines }) {
    const near = new Array(lines.length).fill(false);
    lines.forEach(({ kind }, index) => {
        if (kind === "same") return;
        for (let at = Math.max(0, index - CONTEXT); at <= Math.min(lines.length - 1, index + CONTEXT); at += 1) near[at] = true;
    });
    const rows = [];
    let leftOut = 0;
    const gap = () => {
        if (leftOut) rows.push(html`<li class="diff-gap" key=${`g${rows.length}`}>${t("save.left_out", { n: leftOut })}</li>`);
        leftOut = 0;
    };
    lines.forEach(({ kind, text }, index) => {
        if (!near[index]) {
            leftOut += 1;
            return;
        }
        gap();
        const sign = { old: "−", new: "+" }[kind] || " ";
        rows.push(html`<li key=${index} class=${classes("diff-line", kind)}><span class="diff-sign" aria-hidden="true">${sign}</span>
            ${kind !== "same" && html`<span class="hidden">${t(`save.line_${kind}`)}</span>`}<bdi class="peer">${text.replace(/\r?\n$/, "") || " "}</bdi></li>`);
    });
    gap();
    return html`<ol class="difference mono" aria-label=${t("save.difference")}>${rows}</ol>`;
}
