// @ts-check
/** The console's frame: theme and language first, then the session, the top bar and the page of the address. */

import { setTheme, theme, THEMES } from "./core/theme.js";
import { language, setLanguage, t } from "./core/i18n.js";
import { base, get, onLoggedOut, post } from "./core/api.js";
import { connection, connectionLost, retryNow, start, stop, updated } from "./core/stream.js";
import { Bar, Button, classes, html, Icon, render, signal, useEffect, useErrorBoundary, useRef } from "./core/ui.js";
import Login from "./pages/login.js";
import Overview from "./pages/overview.js";
import Traffic from "./pages/traffic.js";
import Tester from "./pages/tester.js";
import Sandbox from "./pages/sandbox.js";
import Backlog from "./pages/backlog.js";
import Permissions from "./pages/permissions.js";
import Configuration from "./pages/configuration.js";
import Alerts from "./pages/alerts.js";
import Log from "./pages/log.js";

const PAGES = [
    { key: "overview", icon: "grid", page: Overview },
    { key: "traffic", icon: "pulse", page: Traffic },
    { key: "tester", icon: "bolt", page: Tester },
    { key: "sandbox", icon: "chat", page: Sandbox },
    { key: "backlog", icon: "inbox", page: Backlog },
    { key: "permissions", icon: "shield", page: Permissions },
    { key: "alerts", icon: "bell", page: Alerts },
    { key: "configuration", icon: "sliders", page: Configuration },
    { key: "log", icon: "lines", page: Log },
];

/** The session: null until it is known; `{in, version, chinese}`, or `{failed: true}`. */
const session = signal(/** @type {any} */ (null));

/** Why the login page is shown, a key of the words; "" where there is nothing to say. */
const loginNote = signal("");

/** The page in view, and what is behind it in the fragment: `#/traffic/...?bot=x`. */
const route = signal(readRoute());

function readRoute() {
    const [path] = location.hash.replace(/^#\/?/, "").split("?");
    const key = path.split("/")[0];
    return PAGES.some((each) => each.key === key) ? key : "overview";
}

window.addEventListener("hashchange", () => {
    if (location.hash.startsWith("#token=")) {
        useTokenOfFragment();
        return;
    }
    route.value = readRoute();
});

/** Other tabs of this browser: they log in and out together. */
const others = typeof BroadcastChannel === "function" ? new BroadcastChannel(`lgtwist.session:${base}`) : null;
if (others) {
    others.onmessage = ({ data }) => {
        if (data === "out" && session.value && session.value.in) setSession({ ...session.value, in: false });
        else checkSession();
    };
}

/** @param {any} value */
function setSession(value) {
    const was = session.value;
    session.value = value;
    // Told first: whoever takes over the stream must know that there is none any more.
    if (others && was && was.in !== undefined && Boolean(was.in) !== Boolean(value.in)) others.postMessage(value.in ? "in" : "out");
    if (value.in) start();
    else stop();
}

let sessionTimer = 0;

async function checkSession() {
    clearTimeout(sessionTimer);
    try {
        setSession(await get("session", undefined, { quiet: true }));
    } catch {
        if (!session.value || session.value.failed) session.value = { failed: true };
        sessionTimer = setTimeout(checkSession, 2000);
    }
}

onLoggedOut(() => {
    if (session.value && session.value.in) {
        loginNote.value = "login.ended";
        setSession({ ...session.value, in: false });
    }
});

/** Log in. @param {string} token */
async function logIn(token) {
    await post("login", { token }, { quiet: true });
    loginNote.value = "";
    await checkSession();
}

/** Log in with the token of the printed link, and take it out of the address (and of the history) first. */
async function useTokenOfFragment() {
    let token = location.hash.slice("#token=".length);
    try {
        token = decodeURIComponent(token);
    } catch {
        // not encoded: taken as it is
    }
    history.replaceState(null, "", `${location.pathname}${location.search}#/overview`);
    route.value = "overview";
    try {
        await logIn(token.trim());
    } catch (error) {
        await checkSession();
        const refused = /** @type {any} */ (error).code === "wrong_token";
        loginNote.value = refused ? "login.link_refused" : "login.link_failed";
    }
}

async function logOut() {
    loginNote.value = "";
    try {
        await post("logout", { everywhere: false }, { quiet: true });
    } finally {
        await checkSession();
    }
}

/** The buttons of theme and language. */
function Preferences() {
    const chosen = theme.value;
    const next = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
    const icon = { auto: "auto", light: "sun", dark: "moon" }[chosen];
    const other = language.value === "zh" ? "en" : "zh";
    return html`<${Button} kind="quiet" icon=${icon} label=${t("frame.theme", { theme: t(`frame.theme.${chosen}`) })} onClick=${() => setTheme(next)} />
        <button type="button" class="button quiet language" lang=${other === "zh" ? "zh-CN" : "en"} onClick=${() => setLanguage(/** @type {any} */ (other))}>
            ${other === "zh" ? "中文" : "EN"}</button>`;
}

/** The name, the tabs of the pages, and the buttons. */
function TopBar() {
    const current = route.value;
    const strip = useRef(/** @type {any} */ (null));
    useEffect(() => {
        const here = strip.current && strip.current.querySelector("[aria-current]");
        if (here) strip.current.scrollLeft = here.offsetLeft - (strip.current.clientWidth - here.offsetWidth) / 2;
    }, [current]);
    return html`<header class="top">
        <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); focusMain(); }}>${t("frame.skip")}</a>
        <span class="brand"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5 4v11a5 5 0 0 0 5 5h9M19 20V9a5 5 0 0 0-5-5H5" /></svg>lgtwist</span>
        <nav class="pages" aria-label=${t("frame.pages")} ref=${strip}>${PAGES.map(({ key, icon }) => html`
            <a key=${key} href=${`#/${key}`} aria-current=${key === current ? "page" : undefined}><${Icon} name=${icon} /><span>${t(`frame.page.${key}`)}</span></a>`)}</nav>
        <div class="top-buttons"><${Preferences} /><${Button} kind="quiet" icon="logout" label=${t("frame.log_out")} onClick=${logOut} /></div>
    </header>`;
}

function focusMain() {
    const main = document.getElementById("main");
    if (main) main.focus();
}

/** What is to be said about the connection and the version, above the page. */
function Bars() {
    return html`<div class="bars" aria-live="polite">
        ${connectionLost.value && html`<${Bar} kind="warning" action=${html`<${Button} onClick=${retryNow}>${t("frame.retry")}<//>`}>${t("frame.lost")}<//>`}
        ${connection.value === "full" && html`<${Bar} kind="warning" action=${html`<${Button} onClick=${retryNow}>${t("frame.retry")}<//>`}>${t("frame.full")}<//>`}
        ${updated.value && html`<${Bar} kind="info" action=${html`<${Button} kind="primary" onClick=${() => location.reload()}>${t("frame.reload")}<//>`}>${t("frame.updated")}<//>`}
    </div>`;
}

/** A page; an error in it is shown instead of it, and the frame stays. @param {{page: any, name: string}} props */
function Guarded({ page: Page, name }) {
    const [error, reset] = useErrorBoundary((thrown) => setTimeout(() => { throw thrown; }));
    useEffect(() => {
        document.title = `${t(`frame.page.${name}`)} · lgtwist`;
    }, [name, language.value]);
    if (error) {
        return html`<${Bar} kind="bad" action=${html`<${Button} onClick=${reset}>${t("frame.retry")}<//>`}>${t("frame.page_failed")}<//>`;
    }
    return html`<${Page} />`;
}

function App() {
    const known = session.value;
    if (!known) return null;
    if (known.failed) {
        return html`<main class="login-page"><div class="card login"><p role="status">${t("frame.unreachable")}</p></div></main>`;
    }
    if (!known.in) {
        return html`<${Login} logIn=${logIn} note=${loginNote.value} version=${known.version} preferences=${html`<${Preferences} />`} />`;
    }
    const name = route.value;
    const found = PAGES.find((each) => each.key === name) || PAGES[0];
    return html`<${TopBar} /><${Bars} /><main id="main" class=${classes("page", `page-${name}`)} tabindex="-1">
        <${Guarded} key=${name} page=${found.page} name=${name} /></main>`;
}

render(html`<${App} />`, /** @type {any} */ (document.getElementById("app")));
if (location.hash.startsWith("#token=")) useTokenOfFragment();
else checkSession();
