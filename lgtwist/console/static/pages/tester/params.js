// @ts-check
/** The parameters of an action as fields of a form and as JSON, both ways. Large numbers keep all their digits. */

/**
 * @typedef {{name: string, type: string, required: boolean, zh: string, en: string, default?: any, choices?: string[]}} Parameter
 * @typedef {{fields: Record<string, string>, extra: Record<string, any>}} Form
 */

const raw = /** @type {any} */ (JSON).rawJSON;
const isRaw = /** @type {any} */ (JSON).isRawJSON || (() => false);
const INTEGER = /^-?\d{1,40}$/;
const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;

/** Parse JSON; integers above 2^53 are kept as they were written, where the browser can. @param {string} text */
export function parseJson(text) {
    return JSON.parse(text, /** @type {any} */ ((_key, value, context) => (
        raw && context && typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && INTEGER.test(context.source)
            ? raw(context.source) : value)));
}

/**
 * Return the parameters of a JSON text.
 * @param {string} text
 * @returns {{params?: Record<string, any>, error?: "not_json" | "not_object", at?: string}}
 */
export function readParams(text) {
    if (!text.trim()) return { params: {} };
    try {
        const params = parseJson(text);
        if (!params || typeof params !== "object" || Array.isArray(params) || isRaw(params)) return { error: "not_object" };
        return { params };
    } catch (error) {
        return { error: "not_json", at: placeOf(text, String(/** @type {any} */ (error).message)) };
    }
}

/** Return where a JSON text is wrong, as "line:column", from the browser's sentence; "" if it does not say. */
function placeOf(text, sentence) {
    const lined = /line (\d+) column (\d+)/.exec(sentence);
    if (lined) return `${lined[1]}:${lined[2]}`;
    const counted = /position (\d+)/.exec(sentence);
    const before = text.slice(0, counted ? Number(counted[1]) : text.length).split("\n");
    return `${before.length}:${before[before.length - 1].length + 1}`;
}

/** @param {any} value */
const isSegment = (value) => Boolean(value) && typeof value === "object" && !Array.isArray(value) && typeof value.type === "string";

/**
 * Return a message as it is sent: segments where the text is JSON of them, or else the text itself (with CQ codes).
 * @param {string} text
 * @returns {{value?: any, segments?: number, error?: "segments"}}
 */
export function readMessage(text) {
    const trimmed = text.trim();
    if (!/^[[{]/.test(trimmed) || trimmed.startsWith("[CQ:")) return { value: text };
    try {
        const value = parseJson(trimmed);
        if (Array.isArray(value) ? value.length > 0 && value.every(isSegment) : isSegment(value)) {
            return { value, segments: Array.isArray(value) ? value.length : 1 };
        }
    } catch {
        if (/^(\[\s*\{|\{)\s*"/.test(trimmed)) return { error: "segments" };
    }
    return { value: text };
}

/**
 * Return the value of a field; an `error` is a code of the words `tester.wrong.*`. `left_out`: it is not sent.
 * @param {Parameter} parameter @param {string} text
 * @returns {{value?: any, left_out?: boolean, error?: string, segments?: number}}
 */
export function readField(parameter, text) {
    if (text === "" || (parameter.type !== "string" && parameter.type !== "message" && !text.trim())) {
        return parameter.required ? { left_out: true, error: "required" } : { left_out: true };
    }
    switch (parameter.type) {
        case "number": {
            const trimmed = text.trim();
            if (!NUMBER.test(trimmed)) return { error: "number" };
            if (INTEGER.test(trimmed) && !Number.isSafeInteger(Number(trimmed))) return { value: raw ? raw(String(BigInt(trimmed))) : trimmed };
            return { value: Number(trimmed) };
        }
        case "boolean":
            return text === "true" || text === "false" ? { value: text === "true" } : { error: "boolean" };
        case "message":
            return readMessage(text);
        case "array":
        case "object":
            try {
                const value = parseJson(text);
                const right = parameter.type === "array" ? Array.isArray(value) : Boolean(value) && typeof value === "object" && !Array.isArray(value);
                return right ? { value } : { error: parameter.type };
            } catch {
                return { error: parameter.type };
            }
        default:
            return { value: text };
    }
}

/**
 * Return what the form says: the parameters, and what is wrong by the names of fields.
 * @param {Parameter[]} parameters @param {Form} form
 */
export function readForm(parameters, form) {
    /** @type {Record<string, any>} */
    const params = {};
    /** @type {Record<string, string>} */
    const errors = {};
    for (const parameter of parameters) {
        const text = form.fields[parameter.name] || "";
        const { value, left_out: leftOut, error } = readField(parameter, text);
        if (error) errors[parameter.name] = error;
        if (!leftOut) params[parameter.name] = error ? text : value;
    }
    return { params: { ...params, ...form.extra }, errors };
}

/** Return the text of a field for a value. @param {any} value */
function fieldText(value) {
    if (value === null || value === undefined) return "";
    if (isRaw(value)) return value.rawJSON;
    return typeof value === "string" ? value : JSON.stringify(value, null, typeof value === "object" ? 1 : 0);
}

/**
 * Return the form of some parameters; those that have no field are kept beside it.
 * @param {Parameter[]} parameters @param {Record<string, any>} params
 * @returns {Form}
 */
export function formOf(parameters, params) {
    /** @type {Form} */
    const form = { fields: {}, extra: {} };
    const known = new Map(parameters.map((parameter) => [parameter.name, parameter]));
    for (const [name, value] of Object.entries(params)) {
        const parameter = known.get(name);
        const text = fieldText(value);
        // A value that the field cannot say is sent as it is.
        if (parameter && (value === null || value === "" || readField(parameter, text).error === undefined)) form.fields[name] = text;
        else form.extra[name] = value;
    }
    return form;
}

/** Return the text of parameters for the JSON field. @param {Record<string, any>} params */
export const jsonOf = (params) => JSON.stringify(params, null, 2);
