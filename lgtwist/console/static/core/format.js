// @ts-check
/** Numbers and times as the reader writes them, in the browser's time zone. */

import { signal } from "../vendor/signals.mjs";
import { locale, t } from "./i18n.js";

/** Milliseconds by which the server's clock is ahead of the browser's. */
let serverAhead = 0;

/** Seconds since the epoch by the server's clock; changes each second while a page that reads it is in view. */
export const now = signal(Date.now() / 1000);

setInterval(() => {
    if (!document.hidden) now.value = (Date.now() + serverAhead) / 1000;
}, 1000);

/**
 * Take the server's time, so that "3 seconds ago" is right where the clocks differ.
 * @param {number} seconds since the epoch
 */
export function serverTime(seconds) {
    serverAhead = seconds * 1000 - Date.now();
    now.value = seconds;
}

/** @type {Map<string, Intl.NumberFormat | Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string} name @param {() => any} make @returns {any} */
function cached(name, make) {
    const key = `${locale()} ${name}`;
    if (!formats.has(key)) formats.set(key, make());
    return formats.get(key);
}

/** @param {number} value @param {number} [digits] the most digits behind the point */
export function number(value, digits = 0) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    return cached(`n${digits}`, () => new Intl.NumberFormat(locale(), { maximumFractionDigits: digits })).format(value);
}

/** @param {number} share between 0 and 1 */
export function percent(share) {
    return cached("%", () => new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 1 })).format(share);
}

/** @param {number | null} count */
export function bytes(count) {
    if (count === null || count === undefined) return "–";
    const units = ["B", "KB", "MB", "GB", "TB"];
    let value = count;
    let unit = 0;
    while (value >= 1000 && unit < units.length - 1) {
        value /= 1024;
        unit += 1;
    }
    return `${number(value, unit && value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** @param {number} rate per second */
export const perSecond = (rate) => t("format.per_second", { n: number(rate, rate < 10 ? 1 : 0) });

/** @param {number} ms milliseconds */
export function milliseconds(ms) {
    if (ms === null || ms === undefined) return "–";
    return ms < 1000 ? `${number(ms, ms < 10 ? 1 : 0)} ms` : `${number(ms / 1000, 1)} s`;
}

/**
 * Return a duration in its two largest units, such as "2 h 5 min".
 * @param {number} seconds
 */
export function duration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return t("format.s", { n: whole });
    if (whole < 3600) {
        const rest = whole % 60;
        const minutes = t("format.min", { n: Math.floor(whole / 60) });
        return whole < 600 && rest ? `${minutes} ${t("format.s", { n: rest })}` : minutes;
    }
    if (whole < 86400) {
        const minutes = Math.floor((whole % 3600) / 60);
        const hours = t("format.h", { n: Math.floor(whole / 3600) });
        return minutes ? `${hours} ${t("format.min", { n: minutes })}` : hours;
    }
    const hours = Math.floor((whole % 86400) / 3600);
    const days = t("format.d", { n: Math.floor(whole / 86400) });
    return hours ? `${days} ${t("format.h", { n: hours })}` : days;
}

/**
 * Return how long ago a time was, or how long it is until then.
 * @param {number} seconds since the epoch
 */
export function relative(seconds) {
    const ago = now.value - seconds;
    if (Math.abs(ago) < 2) return t("format.now");
    return ago > 0 ? t("format.ago", { span: duration(ago) }) : t("format.in", { span: duration(-ago) });
}

/** @param {number} seconds since the epoch; returns date and time with seconds and zone */
export function dateTime(seconds) {
    const format = () => new Intl.DateTimeFormat(locale(), {
        year: "numeric", month: "2-digit", day: "2-digit",
        hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
    });
    return cached("dt", format).format(new Date(seconds * 1000));
}

/** @param {number} seconds since the epoch; returns hour, minute and second */
export function clock(seconds) {
    const format = () => new Intl.DateTimeFormat(locale(), {
        hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
    });
    return cached("c", format).format(new Date(seconds * 1000));
}

/** @param {number} seconds since the epoch; returns hour and minute, with the date where it is not today */
export function shortTime(seconds) {
    const date = new Date(seconds * 1000);
    const today = new Date(now.peek() * 1000).toDateString() === date.toDateString();
    const format = () => new Intl.DateTimeFormat(locale(), today
        ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }
        : { month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    return cached(today ? "st" : "sd", format).format(date);
}
