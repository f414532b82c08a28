// @ts-check
/** One menu and one dialog at a time, above the page. */

import { Button, classes, html, Icon, signal, useEffect, useLayoutEffect, useRef } from "../../core/ui.js";

/** The open menu: `{anchor, label, items: [{label, icon, danger, run}]}`; null for none. */
export const menu = signal(/** @type {any} */ (null));

/** The open dialog: `{kind, ...}`; null for none. */
export const dialog = signal(/** @type {any} */ (null));

/** Show what has failed and belongs to no field; "" for nothing. */
export const notice = signal("");

/** A button that opens a menu. @param {any} props `items` is a function that returns the items */
export function MenuButton({ label, icon = "more", items, children, class: extra, kind = "quiet", ...rest }) {
    const open = (event) => {
        menu.value = { anchor: event.currentTarget, label, items: items().filter(Boolean) };
    };
    return html`<${Button} kind=${kind} icon=${icon} label=${label} class=${extra} aria-haspopup="menu" onClick=${open} ...${rest}>${children}<//>`;
}

export function Menu() {
    const open = menu.value;
    const box = useRef(/** @type {any} */ (null));
    const close = (back = true) => {
        const { anchor } = menu.peek() || {};
        menu.value = null;
        if (back && anchor && anchor.isConnected) anchor.focus();
    };
    useLayoutEffect(() => {
        if (!open) return;
        const element = box.current;
        const at = open.anchor.getBoundingClientRect();
        const width = element.offsetWidth;
        const height = element.offsetHeight;
        const left = Math.max(8, Math.min(at.right - width, window.innerWidth - width - 8));
        const below = at.bottom + 4 + height <= window.innerHeight - 8;
        const top = below ? at.bottom + 4 : Math.max(8, at.top - 4 - height);
        element.style.left = `${left}px`;
        element.style.top = `${top}px`;
        const first = element.querySelector("button");
        if (first) first.focus();
    }, [open]);
    useEffect(() => {
        if (!open) return undefined;
        const outside = (event) => { if (box.current && !box.current.contains(event.target)) close(false); };
        document.addEventListener("pointerdown", outside, true);
        window.addEventListener("resize", outside);
        return () => {
            document.removeEventListener("pointerdown", outside, true);
            window.removeEventListener("resize", outside);
        };
    }, [open]);
    if (!open) return null;
    const moved = (event) => {
        const buttons = [...box.current.querySelectorAll("button")];
        const index = buttons.indexOf(document.activeElement);
        const step = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (event.key === "Escape") close();
        else if (event.key === "Tab") close();
        else if (step) buttons[(index + step + buttons.length) % buttons.length].focus();
        else if (event.key === "Home") buttons[0].focus();
        else if (event.key === "End") buttons[buttons.length - 1].focus();
        else return;
        event.preventDefault();
        event.stopPropagation();
    };
    return html`<div class=${classes("menu", open.row && "menu-row")} role="menu" aria-label=${open.label} ref=${box} onKeyDown=${moved}>
        ${open.items.map((item, index) => html`<button type="button" role="menuitem" key=${index} class=${item.danger ? "danger" : undefined}
            onClick=${() => { close(); item.run(); }}>${item.icon && html`<${Icon} name=${item.icon} />`}<span>${item.label}</span></button>`)}</div>`;
}

/** Arrow keys move among the buttons or links of a list. @param {any} event */
export function arrows(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const all = [...event.currentTarget.querySelectorAll("[data-item]")];
    const index = all.indexOf(document.activeElement);
    if (index < 0) return;
    event.preventDefault();
    all[Math.max(0, Math.min(all.length - 1, index + step))].focus();
}
