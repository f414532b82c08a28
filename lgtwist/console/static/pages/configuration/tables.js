// @ts-check
/** The values of the tables that are there once, read from the (masked) TOML: only what forms can show. */

const STRING = /^"((?:[^"\\]|\\.)*)"$/;

/** Return one value, or undefined where a form cannot show it. @param {string} text @returns {any} */
function valueOf(text) {
    const found = STRING.exec(text);
    if (found) {
        try {
            return JSON.parse(text.replace(/\\e/g, "\\u001b").replace(/\\U0{0,4}([0-9a-fA-F]{4})/g, "\\u$1"));
        } catch {
            return undefined;
        }
    }
    if (/^'[^']*'$/.test(text)) return text.slice(1, -1);
    if (/^[+-]?\d[\d_]*$/.test(text)) return Number(text.replace(/_/g, ""));
    if (text === "true" || text === "false") return text === "true";
    if (text.startsWith("[") && text.endsWith("]")) {
        const parts = text.slice(1, -1).match(/"(?:[^"\\]|\\.)*"|'[^']*'|[^,\s]+/g) || [];
        const values = parts.map(valueOf);
        return values.includes(undefined) ? undefined : values;
    }
    return undefined;
}

/** Cut a comment off a line. @param {string} line */
function withoutComment(line) {
    const found = /^(?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*')*/.exec(line);
    return (found ? found[0] : line).trim();
}

/**
 * Return the values of the tables by their names; "" is the top level.
 * @param {string} text
 * @returns {Record<string, Record<string, any>>}
 */
export function tableValues(text) {
    /** @type {Record<string, Record<string, any>>} */
    const tables = { "": {} };
    let table = "";
    let key = "";
    let pending = "";
    for (const whole of text.split(/\r?\n/)) {
        const line = withoutComment(whole);
        if (!line) continue;
        if (key) {
            pending += line;
            if (!/\]$/.test(line)) continue;
        } else {
            const header = /^\[\s*([\w.-]+)\s*\]$/.exec(line);
            if (header || line.startsWith("[[")) {
                table = header ? header[1] : line;
                continue;
            }
            const pair = /^([\w-]+)\s*=\s*(.*)$/.exec(line);
            if (!pair) continue;
            key = pair[1];
            pending = pair[2];
            if (pending.startsWith("[") && !pending.endsWith("]")) continue;
        }
        tables[table] = { ...tables[table], [key]: valueOf(pending) };
        key = "";
    }
    return tables;
}
