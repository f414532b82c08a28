// @ts-check
/** Patterns of action names, as the server reads them; and the rights that are chosen by one press. */

/** @param {string} text a name or a pattern */
const plain = (text) => text.toLowerCase().replace(/^\.+/, "");

/**
 * Return whether a pattern matches a whole name: `*` stands for any characters, case and leading dots do not count.
 * No regular expressions: the time of one with many stars grows exponentially.
 * @param {string} pattern @param {string} name
 */
export function matches(pattern, name) {
    const parts = plain(pattern).split("*");
    const text = plain(name);
    const first = parts[0];
    const last = parts[parts.length - 1];
    if (parts.length === 1) return text === first;
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
    let at = first.length;
    const end = text.length - last.length;
    for (const part of parts.slice(1, -1)) {
        const found = text.indexOf(part, at);
        if (found < 0 || found + part.length > end) return false;
        at = found + part.length;
    }
    return true;
}

/**
 * Return whether lists let an action through.
 * @param {string} name @param {string[] | null} allow @param {string[]} deny
 */
export const allows = (name, allow, deny) => (
    (allow === null || allow.some((pattern) => matches(pattern, name))) && !deny.some((pattern) => matches(pattern, name))
);

/** What lets somebody else use the account, and files; named by patterns, since new versions bring new names. */
const SECRETS = ["*cookie*", "*credential*", "*csrf*", "*clientkey*", "*rkey*", "get_config", "get_file"];
const READ = ["get_*", "can_*"];
const CHAT = [...READ, "send_msg", "send_private_msg", "send_group_msg", "send_*forward_msg", "send_poke", "group_poke", "friend_poke",
    "set_msg_emoji_like", "mark_*_as_read", "delete_msg"];
/** As in docs/rights.md: names, no patterns. */
const ASSISTANT = ["send_msg", "send_private_msg", "send_group_msg", "get_login_info", "get_status", "get_version_info", "can_send_image",
    "can_send_record", "get_msg", "get_forward_msg", "get_group_msg_history", "get_stranger_info", "get_friend_list", "get_group_info",
    "get_group_list", "get_group_member_info", "get_group_member_list"];

/**
 * The presets, by the key of their words. `rate` and `types` are left as they are where they are not given.
 * @type {Record<string, {allow: string[] | null, deny: string[], rate?: {most: string, unit: string} | null, types?: string[] | null}>}
 */
export const PRESETS = {
    read: { allow: READ, deny: SECRETS },
    chat: { allow: CHAT, deny: SECRETS },
    admin: { allow: [...CHAT, "set_group_*", "*_group_notice", "*_essence_msg", "set_friend_add_request"], deny: [...SECRETS, "set_group_leave"] },
    everything: { allow: null, deny: [], rate: null, types: null },
    assistant: { allow: ASSISTANT, deny: [], rate: { most: "20", unit: "min" }, types: ["message"] },
};
