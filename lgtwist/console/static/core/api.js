// @ts-check
/** Requests to the console's HTTP interface, by relative URLs: a proxy may put any prefix in front. */

const parts = new URL(import.meta.url).pathname.split("/s/");

/** The hash of the static files that this page was loaded from. */
export const pageAssets = parts.length > 1 ? parts[parts.length - 1].split("/")[0] : "";

/** The path of the console, with a slash at its end, such as `/console/`. */
export const base = parts.slice(0, -1).join("/s/") + "/";

/** The path of the HTTP interface, with a slash at its end. */
export const apiBase = base + "api/";

/** A request that was answered with an error, or not at all. */
export class ApiError extends Error {
    /**
     * @param {number} status the HTTP status; 0 if there was no answer
     * @param {string} code such as `wrong_token`; `error.<code>` is its key in the word tables
     * @param {Record<string, any>} args the arguments of the sentence
     * @param {string} sentence the server's English sentence, shown where the code has no key
     */
    constructor(status, code, args, sentence) {
        super(sentence || code);
        this.name = "ApiError";
        this.status = status;
        this.code = code;
        this.args = args;
        this.sentence = sentence;
    }
}

/** @type {Set<() => void>} */
const logoutListeners = new Set();

/**
 * Call a function whenever the server says that this browser is not logged in (any more).
 * @param {() => void} listener
 */
export function onLoggedOut(listener) {
    logoutListeners.add(listener);
    return () => logoutListeners.delete(listener);
}

/** Tell all listeners that this browser is not logged in. */
export function loggedOut() {
    logoutListeners.forEach((listener) => listener());
}

/**
 * Return the error of an answer, whatever its body is.
 * @param {number} status
 * @param {any} body
 */
export function errorOf(status, body) {
    const error = body && typeof body === "object" ? body.error : null;
    if (error && typeof error === "object") {
        return new ApiError(status, String(error.code || "unknown"), error.args || {}, String(error.sentence || ""));
    }
    if (typeof error === "string") {
        return new ApiError(status, "sentence", { sentence: error }, error);
    }
    return new ApiError(status, "status", { status }, `HTTP ${status}`);
}

/**
 * Send a request and return its answer, whose body is not read yet.
 *
 * Options: `query` (values of null, undefined and "" are left out), `json` (a body), `body` (bytes, with
 * `type`), `signal` (aborts it), `quiet` (a 401 does not lead to the login page).
 * @param {string} method
 * @param {string} path below `/console/api/`
 * @param {{query?: Record<string, any>, json?: any, body?: any, type?: string, signal?: AbortSignal, quiet?: boolean}} [options]
 * @returns {Promise<Response>} one with a status of success; what else there is, is thrown as an `ApiError`
 */
export async function requestResponse(method, path, options = {}) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json" };
    let body = options.body;
    if (options.json !== undefined) {
        body = JSON.stringify(options.json);
        headers["Content-Type"] = "application/json";
    } else if (options.type) {
        headers["Content-Type"] = options.type;
    }
    if (method !== "GET") {
        headers["X-Lgtwist-Console"] = "1";
    }
    let response;
    try {
        response = await fetch(urlOf(path, options.query), {
            method, headers, body, signal: options.signal, credentials: "same-origin", cache: "no-store",
        });
    } catch (error) {
        if (options.signal && options.signal.aborted) throw error;
        throw new ApiError(0, "unreachable", {}, "The service does not answer.");
    }
    if (response.ok) return response;
    let answer = null;
    try {
        answer = JSON.parse(await response.text());
    } catch (error) {
        if (options.signal && options.signal.aborted) throw error;
    }
    if (response.status === 401 && !options.quiet) loggedOut();
    throw errorOf(response.status, answer);
}

/**
 * Send a request and return its JSON answer; the options are those of `requestResponse`.
 * @param {string} method
 * @param {string} path below `/console/api/`
 * @param {{query?: Record<string, any>, json?: any, body?: any, type?: string, signal?: AbortSignal, quiet?: boolean}} [options]
 * @returns {Promise<any>}
 */
export async function request(method, path, options = {}) {
    const response = await requestResponse(method, path, options);
    try {
        const text = await response.text();
        return text ? JSON.parse(text) : null;
    } catch (error) {
        if (options.signal && options.signal.aborted) throw error;
        throw new ApiError(response.status, "bad_answer", {}, "The answer is not JSON.");
    }
}

/**
 * Return the URL of a path below `/console/api/`.
 * @param {string} path
 * @param {Record<string, any>} [query]
 */
export function urlOf(path, query) {
    const pairs = Object.entries(query || {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const search = new URLSearchParams(pairs.map(([key, value]) => [key, String(value)])).toString();
    return apiBase + path + (search ? `?${search}` : "");
}

/** @param {string} path @param {Record<string, any>} [query] @param {any} [options] */
export const get = (path, query, options) => request("GET", path, { ...options, query });

/** @param {string} path @param {any} [json] @param {any} [options] */
export const post = (path, json = {}, options = undefined) => request("POST", path, { ...options, json });

/** @param {string} path @param {any} [json] @param {any} [options] */
export const put = (path, json = {}, options = undefined) => request("PUT", path, { ...options, json });

/** @param {string} path @param {any} [options] */
export const del = (path, options) => request("DELETE", path, options);

/**
 * Send bytes (a Blob or an ArrayBuffer), such as an image.
 * @param {string} method @param {string} path @param {any} bytes @param {string} type @param {any} [options]
 */
export const send = (method, path, bytes, type, options) => request(method, path, { ...options, body: bytes, type });
