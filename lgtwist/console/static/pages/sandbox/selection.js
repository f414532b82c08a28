// @ts-check
/** The messages that are chosen to be merged into one. */

import { signal } from "../../core/ui.js";

/** `chat` is "" while nothing is chosen. */
export const selection = signal(/** @type {{chat: string, ids: number[]}} */ ({ chat: "", ids: [] }));

/** Choose a message, or not any more. @param {string} chat @param {number} id */
export function toggleSelected(chat, id) {
    const { ids } = selection.value.chat === chat ? selection.value : { ids: [] };
    const next = ids.includes(id) ? ids.filter((each) => each !== id) : [...ids, id].sort((a, b) => a - b);
    selection.value = next.length ? { chat, ids: next } : { chat: "", ids: [] };
}

export function clearSelection() {
    selection.value = { chat: "", ids: [] };
}
