// @ts-check
/** The words of the pages in two languages. */

import { signal } from "../vendor/signals.mjs";
import { local } from "./store.js";
import zhAlerts from "../words/zh/alerts.js";
import zhBacklog from "../words/zh/backlog.js";
import zhConfiguration from "../words/zh/configuration.js";
import zhErrors from "../words/zh/errors.js";
import zhFilter from "../words/zh/filter.js";
import zhFrame from "../words/zh/frame.js";
import zhLog from "../words/zh/log.js";
import zhOverview from "../words/zh/overview.js";
import zhPermissions from "../words/zh/permissions.js";
import zhReasons from "../words/zh/reasons.js";
import zhSandbox from "../words/zh/sandbox.js";
import zhTester from "../words/zh/tester.js";
import zhTraffic from "../words/zh/traffic.js";
import enAlerts from "../words/en/alerts.js";
import enBacklog from "../words/en/backlog.js";
import enConfiguration from "../words/en/configuration.js";
import enErrors from "../words/en/errors.js";
import enFilter from "../words/en/filter.js";
import enFrame from "../words/en/frame.js";
import enLog from "../words/en/log.js";
import enOverview from "../words/en/overview.js";
import enPermissions from "../words/en/permissions.js";
import enReasons from "../words/en/reasons.js";
import enSandbox from "../words/en/sandbox.js";
import enTester from "../words/en/tester.js";
import enTraffic from "../words/en/traffic.js";

/** @type {Record<string, Record<string, string>>} */
const WORDS = {
    zh: {
        ...zhAlerts,
        ...zhBacklog,
        ...zhConfiguration,
        ...zhErrors,
        ...zhFilter,
        ...zhFrame,
        ...zhLog,
        ...zhOverview,
        ...zhPermissions,
        ...zhReasons,
        ...zhSandbox,
        ...zhTester,
        ...zhTraffic,
    },
    en: {
        ...enAlerts,
        ...enBacklog,
        ...enConfiguration,
        ...enErrors,
        ...enFilter,
        ...enFrame,
        ...enLog,
        ...enOverview,
        ...enPermissions,
        ...enReasons,
        ...enSandbox,
        ...enTester,
        ...enTraffic,
    },
};

const kept = local.get("language");
const preferred = /^zh\b/i.test(navigator.language || "") ? "zh" : "en";

/** The language in use: `zh` or `en`. */
export const language = signal(kept === "zh" || kept === "en" ? kept : preferred);

/** The language in use as a BCP 47 tag, for `Intl`: with the browser's region where it has the same language. */
export function locale() {
    const browser = (navigator.languages || []).find((tag) => tag.toLowerCase().startsWith(language.value));
    return browser || (language.value === "zh" ? "zh-CN" : "en");
}

function mark() {
    document.documentElement.lang = language.value === "zh" ? "zh-CN" : "en";
}

/** @param {"zh" | "en"} chosen */
export function setLanguage(chosen) {
    language.value = chosen;
    local.set("language", chosen);
    mark();
}

mark();
window.addEventListener("storage", (event) => {
    if (event.key === "lgtwist.language" && (event.newValue === "zh" || event.newValue === "en")) {
        language.value = event.newValue;
        mark();
    }
});

/**
 * Return whether a key has a sentence.
 * @param {string} key
 */
export const hasWords = (key) => Object.prototype.hasOwnProperty.call(WORDS[language.value], key);

/**
 * Return the sentence of a key in the language in use, with `{name}` replaced; the key where there is none.
 * English sentences may hold `{n|one word|several words}`: the first for 1, the second otherwise.
 * @param {string} key
 * @param {Record<string, any>} [args]
 * @returns {string}
 */
export function t(key, args) {
    const sentence = hasWords(key) ? WORDS[language.value][key] : key;
    if (!args) return sentence;
    return sentence.replace(/\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}/g, (whole, name, one, several) => {
        if (!Object.prototype.hasOwnProperty.call(args, name)) return whole;
        if (several !== undefined) return Number(args[name]) === 1 ? one : several;
        return String(args[name]);
    });
}

/**
 * Enclose arguments that turn the direction of writing (what a peer said may do so), so that they leave the
 * sentence around them alone.
 * @param {Record<string, any>} args
 */
function isolated(args) {
    return Object.fromEntries(Object.entries(args).map(([name, value]) => (
        [name, typeof value === "string" && /[\u202a-\u202e\u2066-\u2069]/.test(value) ? `\u2068${value}\u2069` : value]
    )));
}

/**
 * Return the sentence of a `{"code", "args", "sentence"}` of the server: of the key `<prefix>.<code>`, or the
 * server's English one where the tables have none.
 * @param {{code?: string, args?: Record<string, any> | null, sentence?: string} | null | undefined} reason
 * @param {string} [prefix]
 */
export function reasonText(reason, prefix = "reason") {
    if (!reason) return "";
    const key = `${prefix}.${reason.code}`;
    return hasWords(key) ? t(key, isolated(reason.args || {})) : reason.sentence || String(reason.code || "");
}

/**
 * Return the sentence of an error, of an `ApiError` or of anything else that was thrown.
 * @param {any} error
 */
export function errorText(error) {
    if (error && typeof error.code === "string") return reasonText(error, "error");
    return String((error && error.message) || error);
}
