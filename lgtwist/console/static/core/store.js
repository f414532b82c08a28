// @ts-check
/** Small values in the browser's storages, also where they are forbidden: then they live as long as the page. */

/** @param {() => Storage} storage */
function store(storage) {
    /** @type {Map<string, string>} */
    const fallback = new Map();
    return {
        /** @param {string} key @returns {string | null} */
        get(key) {
            try {
                return storage().getItem(`lgtwist.${key}`);
            } catch {
                return fallback.has(key) ? /** @type {string} */ (fallback.get(key)) : null;
            }
        },
        /** @param {string} key @param {string} value */
        set(key, value) {
            try {
                storage().setItem(`lgtwist.${key}`, value);
            } catch {
                fallback.set(key, value);
            }
        },
        /** @param {string} key */
        remove(key) {
            fallback.delete(key);
            try {
                storage().removeItem(`lgtwist.${key}`);
            } catch {
                // forbidden: there is nothing to remove
            }
        },
    };
}

/** Kept for this browser: `get(key)`, `set(key, value)`, `remove(key)`. */
export const local = store(() => window.localStorage);

/** Kept for this tab. */
export const perTab = store(() => window.sessionStorage);
