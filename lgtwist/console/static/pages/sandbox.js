// @ts-check
/** The sandbox: a chat with the bots, as the people of a sandbox account. */

import { errorText, t } from "../core/i18n.js";
import { Bar, Button, classes, Empty, html, Icon, Peer, Problem, signal, useEffect, useLayoutEffect, useRef } from "../core/ui.js";
import { accounts, clearFaults, failure, faults, hasBot, load, me, play, version, watchState, watchWorld, world } from "./sandbox/store.js";
import { botName, chatName, nameOf } from "./sandbox/names.js";
import { Log } from "./sandbox/bubbles.js";
import { addFiles, Composer } from "./sandbox/composer.js";
import { Conversations } from "./sandbox/conversations.js";
import { Details } from "./sandbox/details.js";
import { Dialogs } from "./sandbox/dialogs.js";
import { dialog, Menu, menu, notice } from "./sandbox/menu.js";

/** What the address names: `#/sandbox/10001/g30001/details`. */
const place = signal(readPlace());

/** Counts up when the composer shall have the focus. */
const focusSignal = signal(0);

function readPlace() {
    const [, account, chat, screen] = location.hash.replace(/^#\/?/, "").split("?")[0].split("/");
    return { account: /^\d{1,18}$/.test(account || "") ? Number(account) : 0, chat: /^[gp]\d{1,18}$/.test(chat || "") ? chat : "", details: screen === "details" };
}

/** @param {string} key */
function focusComposer(key) {
    const here = place.peek();
    if (here.details) location.hash = `#/sandbox/${here.account}/${key}`;
    focusSignal.value += 1;
}

/** Whether the screen has one column. */
const narrow = signal(window.matchMedia("(max-width: 700px)").matches);
window.matchMedia("(max-width: 700px)").addEventListener("change", (event) => { narrow.value = event.matches; });

/** The middle: one conversation. @param {{account: number, chat: string, details: boolean}} props */
function Conversation({ account, chat, details }) {
    version.value;
    const now = /** @type {any} */ (world.value);
    const own = chat === `p${me.value}`;
    const group = chat[0] === "g" ? now.groups.get(Number(chat.slice(1))) : null;
    const name = own ? botName(now) : chatName(now, chat);
    const base = `#/sandbox/${account}`;
    const playHere = (user) => {
        play(user);
        focusSignal.value += 1;
    };
    const dropped = (event) => {
        event.preventDefault();
        event.currentTarget.classList.remove("dropping");
        if (addFiles(chat, event.dataTransfer && event.dataTransfer.files)) focusSignal.value += 1;
    };
    const hint = html`<${Empty} icon="chat" title=${group ? t("sandbox.first_group", { name: nameOf(now, me.value) }) : t("sandbox.first", { name: nameOf(now, me.value) })}>
        <p>${t(group ? "sandbox.first_group_hint" : "sandbox.first_hint")}</p><//>`;
    return html`<section class="conversation-view" aria-label=${name}
            onDragOver=${(event) => { event.preventDefault(); event.currentTarget.classList.add("dropping"); }}
            onDragLeave=${(event) => { if (!event.currentTarget.contains(event.relatedTarget)) event.currentTarget.classList.remove("dropping"); }} onDrop=${dropped}>
        <header class="conversation-bar"><a class="button quiet bare back" href=${base} aria-label=${t("sandbox.back")}><${Icon} name="back" /></a>
            <div class="grow conversation-title"><h1><${Peer} text=${name} inline /></h1>
                <p class="muted small one-line">${group ? t("sandbox.people_count", { n: group.members.length }) : own ? t("sandbox.private_as", { name: nameOf(now, me.value) }) : t("sandbox.private_of_other")}</p></div>
            <a class="button quiet bare" href=${details ? `${base}/${chat}` : `${base}/${chat}/details`} aria-label=${t(group ? "sandbox.group_card" : "sandbox.person_card")} title=${t(group ? "sandbox.group_card" : "sandbox.person_card")}><${Icon} name=${group ? "people" : "person"} /></a></header>
        ${!hasBot(account) && !now.answered.size && html`<${Bar} kind="warning" action=${html`<a class="button" href="#/overview">${t("sandbox.attach")}</a>`}>${t("sandbox.no_bot")}<//>`}
        ${faults.value.length > 0 && html`<${Bar} kind="warning" action=${html`<${Button} onClick=${clearFaults}>${t("sandbox.clear_faults")}<//>`}>${t("sandbox.faults", { kinds: [...new Set(faults.value)].join(", ") })}<//>`}
        <${Log} key=${chat} chat=${chat} focusComposer=${focusComposer} hint=${hint} />
        <${Composer} chat=${chat} play=${playHere} focusSignal=${focusSignal} />
        <div class="drop-hint" aria-hidden="true">${t("sandbox.drop")}</div></section>`;
}

export default function Page() {
    const here = place.value;
    const all = accounts.value;
    const known = all && all.some((each) => each.account === here.account);
    const account = known ? here.account : all && all.length ? all[0].account : 0;
    const root = useRef(/** @type {any} */ (null));
    useEffect(() => {
        const moved = () => {
            if (!/^#\/?sandbox/.test(location.hash)) return;
            place.value = readPlace();
            menu.value = null;
            notice.value = "";
        };
        moved();
        window.addEventListener("hashchange", moved);
        const end = watchState();
        return () => {
            window.removeEventListener("hashchange", moved);
            end();
            dialog.value = null;
            menu.value = null;
        };
    }, []);
    useEffect(() => (account ? watchWorld(account) : undefined), [account]);
    // The page is as high as what is in view: above the keyboard of a phone, below the frame's bars.
    useLayoutEffect(() => {
        const viewport = window.visualViewport;
        const fit = () => {
            const element = root.current;
            if (!element) return;
            const height = (viewport ? viewport.height : window.innerHeight) - (element.getBoundingClientRect().top + window.scrollY);
            element.style.height = `${Math.max(280, Math.floor(height))}px`;
        };
        fit();
        const observer = typeof ResizeObserver === "function" ? new ResizeObserver(fit) : null;
        for (const each of document.querySelectorAll(".bars, .top")) if (observer) observer.observe(each);
        window.addEventListener("resize", fit);
        if (viewport) viewport.addEventListener("resize", fit);
        return () => {
            if (observer) observer.disconnect();
            window.removeEventListener("resize", fit);
            if (viewport) viewport.removeEventListener("resize", fit);
        };
    }, []);
    const now = world.value;
    const ready = now && now.id === account;
    // Without a conversation in the address a phone shows the list; at the very first the chat with the bot is open.
    const first = !here.account && !here.chat;
    const chat = here.chat || (ready && me.value && (!narrow.value || first) ? `p${me.value}` : "");
    let inside;
    if (failure.value) {
        inside = html`<div class="sandbox-message"><${Problem} error=${failure.value} text=${errorText(failure.value)} /><${Button} onClick=${() => (account ? load() : location.reload())}>${t("frame.retry")}<//></div>`;
    } else if (all && !all.length) {
        inside = html`<${Empty} icon="chat" title=${t("sandbox.none")}><p>${t("sandbox.none_hint")}</p><pre><code>${'[[accounts]]\ntype = "sandbox"\nself_id = 10001'}</code></pre><//>`;
    } else if (!ready) {
        inside = html`<p class="muted sandbox-message" role="status">${t("sandbox.loading")}</p>`;
    } else {
        inside = html`${narrow.value && (!chat || here.details) && html`<h1 class="hidden">${t("sandbox.title")}</h1>`}<${Conversations} account=${account} chat=${chat} />
            ${chat && html`<${Conversation} account=${account} chat=${chat} details=${here.details} />
            <aside class="details" aria-label=${t(chat[0] === "g" ? "sandbox.group_card" : "sandbox.person_card")}>
                <div class="details-bar"><a class="button quiet bare" href=${`#/sandbox/${account}/${chat}`} aria-label=${t("sandbox.back")}><${Icon} name="back" /></a><b>${t(chat[0] === "g" ? "sandbox.group_card" : "sandbox.person_card")}</b></div>
                <${Details} chat=${chat} focusComposer=${focusComposer} /></aside>`}`;
    }
    return html`<div ref=${root} class=${classes("sandbox", chat ? (here.details ? "show-details" : "show-chat") : "show-list")}>${inside}<${Menu} /><${Dialogs} /></div>`;
}
