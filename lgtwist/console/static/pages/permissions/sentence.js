// @ts-check
/** The sentence that says what a bot may do and see, in the reader's language. */

import { number } from "../../core/format.js";
import { hasWords, locale, t } from "../../core/i18n.js";

/** So many numbers of a list are said; of more, how many there are. */
const SAID = 6;
/** Abilities that are said only where the bot has them: that it has not is the rule. */
const RARE = ["files", "packets"];
/** Abilities that are a risk of their own. */
const RISKS = ["credentials", "packets"];

/** @param {string[]} items @param {"conjunction" | "disjunction"} type */
function joined(items, type) {
    const Format = /** @type {any} */ (Intl).ListFormat;
    return Format ? new Format(locale(), { type }).format(items) : items.join(", ");
}

/** @param {any[]} values */
function listed(values) {
    const said = values.slice(0, SAID).map(String);
    const rest = values.length - said.length;
    return t("permissions.list", { list: said.join(t("permissions.comma")) }) + (rest > 0 ? t("permissions.and_more", { n: number(rest) }) : "");
}

/** A list with the word before it that says of what. @param {"accounts" | "groups" | "users"} what @param {any[] | null} values */
const named = (what, values) => values && t(values.length === 1 ? `permissions.one.${what}` : `permissions.several.${what}`, { list: listed(values) });

/** @param {string[] | null} types */
function kinds(types) {
    if (!types) return t("permissions.kind.any");
    // A name of its own is isolated: it must not turn round what is beside it.
    const own = (type) => `\u2068${type.slice(0, 40)}\u2069`;
    return joined(types.map((type) => (hasWords(`permissions.kind.${type}`) ? t(`permissions.kind.${type}`) : own(type))), "conjunction");
}

/** The conditions of any_of in words. @param {Record<string, any>} anyOf its keys with their values */
export function anyOfText(anyOf) {
    const words = Object.entries(anyOf).map(([key, value]) => {
        const said = Array.isArray(value) ? listed(value.map((one) => `\u2068${String(one).slice(0, 40)}\u2069`)) : "";
        return t(`permissions.any_of.${key}${Array.isArray(value) ? "_list" : ""}`, { list: said });
    });
    return joined(words, "disjunction");
}

/** @type {Record<string, (args: any) => string>} */
const PARTS = {
    may_all: () => t("permissions.may_all"),
    may_nothing: () => t("permissions.may_nothing"),
    may: ({ abilities, partly }) => {
        const words = abilities.filter((ability) => !RISKS.includes(ability)).map((ability) => {
            const word = t(`permissions.ability.${ability}`);
            return (partly || []).includes(ability) ? t("permissions.partly", { what: word }) : word;
        });
        return words.length ? t("permissions.may", { what: joined(words, "conjunction") }) : "";
    },
    may_not: ({ abilities }) => {
        const words = abilities.filter((ability) => !RARE.includes(ability)).map((ability) => t(`permissions.ability.${ability}`));
        return words.length ? t("permissions.may_not", { what: joined(words, "disjunction") }) : "";
    },
    rate: ({ most, seconds }) => {
        const key = `permissions.rate.${seconds}`;
        return hasWords(key) ? t(key, { most: number(most) }) : t("permissions.rate", { most: number(most), seconds: number(seconds) });
    },
    accounts: ({ accounts }) => t("permissions.accounts", { accounts: named("accounts", accounts) }),
    all_events: () => t("permissions.all_events"),
    no_events: () => t("permissions.no_events"),
    events: ({ post_types: types, groups, users }) => {
        const args = { kinds: kinds(types), groups: named("groups", groups), users: named("users", users) };
        if (groups && users) return t("permissions.sees_groups_users", args);
        if (groups) return t("permissions.sees_groups", args);
        return users ? t("permissions.sees_users", args) : t("permissions.sees", args);
    },
    none_of: ({ groups, users }) => t("permissions.none_of", { what: joined([named("groups", groups), named("users", users)].filter(Boolean), "disjunction") }),
    no_private: () => t("permissions.no_private"),
    only_roles: ({ roles }) => (roles.length ? t("permissions.only_roles", { roles: joined(roles.map((role) => t(`permissions.role.${role}`)), "conjunction") }) : t("permissions.no_roles")),
    only_any_of: ({ any_of: anyOf }) => t("permissions.only_any_of", { what: anyOfText(anyOf) }),
    filter: () => t("permissions.filter"),
};

/** The sentence of a bot. @param {any} bot one of GET permissions */
export function sentenceOf(bot) {
    const parts = bot.sentence.map(({ code, args }) => (PARTS[code] ? PARTS[code](args) : "")).filter(Boolean);
    const text = parts.join(t("permissions.semicolon"));
    return text ? text[0].toUpperCase() + text.slice(1) + t("permissions.full_stop") : "";
}

/** What is to be warned of: things that a restricted bot may do all the same. @param {any} bot */
export function risksOf(bot) {
    const may = bot.sentence.find(({ code }) => code === "may");
    return may ? RISKS.filter((risk) => may.args.abilities.includes(risk)).map((risk) => t(`permissions.risk.${risk}`)) : [];
}
