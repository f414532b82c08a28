// @ts-check
/** The theme: automatic (the system's), light or dark; kept for this browser. */

import { signal } from "../vendor/signals.mjs";
import { local } from "./store.js";

/** In the order of the button. */
export const THEMES = ["auto", "light", "dark"];

const kept = local.get("theme");

/** The chosen theme: one of `THEMES`. */
export const theme = signal(kept && THEMES.includes(kept) ? kept : "auto");

/** @param {string} chosen one of `THEMES` */
export function setTheme(chosen) {
    theme.value = chosen;
    local.set("theme", chosen);
    document.documentElement.dataset.theme = chosen;
}

document.documentElement.dataset.theme = theme.value;
window.addEventListener("storage", (event) => {
    if (event.key === "lgtwist.theme" && event.newValue && THEMES.includes(event.newValue)) {
        theme.value = event.newValue;
        document.documentElement.dataset.theme = event.newValue;
    }
});
