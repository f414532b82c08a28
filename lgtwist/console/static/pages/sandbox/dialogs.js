// @ts-check
/** The dialogs of the sandbox: people, groups, requests, the world as a file, and events of one's own. */

import { errorText, t } from "../../core/i18n.js";
import { Button, Check, Dialog, Field, html, Json, Peer, Problem, saveFile, Select, useState } from "../../core/ui.js";
import { act, getWorld, inject, load, me, putWorld, version, world } from "./store.js";
import { chatName, nameOf, rankOf, requestText } from "./names.js";
import { ForwardDialog } from "./segments.js";
import { dialog } from "./menu.js";

const close = () => { dialog.value = null; };

/**
 * A dialog with a form: `run` returns a promise; its error is shown and the form stays.
 * @param {{title: any, action: any, run: () => Promise<any>, children?: any, danger?: boolean, wide?: boolean, keepOpen?: boolean}} props
 */
function Form({ title, action, run, children, danger, wide }) {
    const [error, setError] = useState("");
    const [busy, setBusy] = useState(false);
    const submit = async (event) => {
        if (event) event.preventDefault();
        if (busy) return;
        setBusy(true);
        setError("");
        try {
            await run();
            close();
        } catch (thrown) {
            setError(errorText(thrown));
            setBusy(false);
        }
    };
    return html`<${Dialog} title=${title} onClose=${close} wide=${wide} actions=${html`<${Button} onClick=${close}>${t("ui.cancel")}<//>
        <${Button} kind=${danger ? "danger" : "primary"} disabled=${busy} onClick=${() => submit(null)}>${action}<//>`}>
        <form class="stack" onSubmit=${submit}>${children}<button type="submit" hidden></button></form><${Problem} error=${error} text=${error} /><//>`;
}

/** The first number that nobody has. @param {Map<number, any>} used @param {number} from */
function freeNumber(used, from) {
    let number = from;
    while (used.has(number)) number += 1;
    return number;
}

function peopleOptions(now, filter = (_each) => true) {
    return [...now.people.values()].filter((each) => each.user_id !== now.id && filter(each)).map((each) => [each.user_id, `${nameOf(now, each.user_id)} · ${each.user_id}`]);
}

function TextDialog({ title, label, value, run }) {
    const [text, setText] = useState(value);
    return html`<${Form} title=${title} action=${t("sandbox.save")} run=${() => run(text)}><${Field} label=${label} value=${text} maxlength="200" autofocus onInput=${(event) => setText(event.currentTarget.value)} /><//>`;
}

function PersonDialog({ person }) {
    const now = /** @type {any} */ (world.value);
    const [id, setId] = useState(String(person ? person.user_id : freeNumber(now.people, 20001)));
    const [nickname, setNickname] = useState(person ? person.nickname : "");
    const [friend, setFriend] = useState(person ? Boolean(person.friend) : true);
    const [remark, setRemark] = useState((person && person.remark) || "");
    const [sex, setSex] = useState((person && person.sex) || "unknown");
    const [age, setAge] = useState(String((person && person.age) || 0));
    const save = () => act("person", { user_id: id, friend, remark, sex, age: age || 0, ...(nickname ? { nickname } : {}) });
    return html`<${Form} title=${t(person ? "sandbox.do.edit_person" : "sandbox.do.new_person")} action=${t("sandbox.save")} run=${save}>
        <${Field} label=${t("sandbox.nickname")} value=${nickname} autofocus onInput=${(event) => setNickname(event.currentTarget.value)} />
        <${Field} label=${t("sandbox.number")} value=${id} inputmode="numeric" disabled=${Boolean(person)} onInput=${(event) => setId(event.currentTarget.value)} />
        <${Field} label=${t("sandbox.remark")} value=${remark} onInput=${(event) => setRemark(event.currentTarget.value)} />
        <div class="two"><${Select} label=${t("sandbox.sex")} value=${sex} options=${["unknown", "female", "male"].map((each) => [each, t(`sandbox.sex.${each}`)])} onChange=${setSex} />
        <${Field} label=${t("sandbox.age")} value=${age} inputmode="numeric" onInput=${(event) => setAge(event.currentTarget.value)} /></div>
        <${Check} label=${t("sandbox.is_friend")} checked=${friend} onChange=${setFriend} /><//>`;
}

function PeopleDialog() {
    version.value;
    const now = /** @type {any} */ (world.value);
    return html`<${Dialog} title=${t("sandbox.do.people")} onClose=${close} actions=${html`<${Button} icon="plus" kind="primary" onClick=${() => { dialog.value = { kind: "person" }; }}>${t("sandbox.do.new_person")}<//>`}>
        <ul class="members">${[...now.people.values()].map((person) => html`<li key=${person.user_id} class="member"><span class="member-text"><span class="row"><span class="member-name"><${Peer} text=${person.nickname} inline /></span>
            ${person.user_id === now.id ? html`<span class="chip accent">${t("sandbox.bot")}</span>` : html`<span class=${`chip ${person.friend ? "good" : ""}`}>${t(person.friend ? "sandbox.friend" : "sandbox.no_friend")}</span>`}</span><span class="muted small">${person.user_id}</span></span>
            <${Button} kind="quiet" icon="edit" label=${`${t("sandbox.do.edit_person")}: ${nameOf(now, person.user_id)}`} onClick=${() => { dialog.value = { kind: "person", person }; }} />
            ${person.user_id !== now.id && html`<${Button} kind="quiet" icon="trash" label=${`${t("sandbox.do.forget_person")}: ${nameOf(now, person.user_id)}`} onClick=${() => { dialog.value = { kind: "confirm", title: t("sandbox.forget_sure", { name: nameOf(now, person.user_id), id: person.user_id }), action: t("sandbox.do.forget_person"), run: () => act("forget_person", { user_id: person.user_id }) }; }} />`}</li>`)}</ul><//>`;
}

function GroupDialog() {
    const now = /** @type {any} */ (world.value);
    const [id, setId] = useState(String(freeNumber(now.groups, 30001)));
    const [name, setName] = useState("");
    const [chosen, setChosen] = useState([me.peek()]);
    const make = async () => {
        const members = chosen.map((user_id) => ({ user_id, role: user_id === chosen[0] ? "owner" : "member" }));
        await act("group", { group_id: id, members, ...(name ? { group_name: name } : {}) });
        location.hash = `#/sandbox/${now.id}/g${Number(id)}`;
    };
    return html`<${Form} title=${t("sandbox.do.new_group")} action=${t("sandbox.make")} run=${make}>
        <${Field} label=${t("sandbox.group_name")} value=${name} autofocus onInput=${(event) => setName(event.currentTarget.value)} />
        <${Field} label=${t("sandbox.number")} value=${id} inputmode="numeric" onInput=${(event) => setId(event.currentTarget.value)} />
        <fieldset class="people-choice"><legend>${t("sandbox.members")}</legend>${peopleOptions(now).map(([user, text]) => html`<${Check} key=${user} label=${text} checked=${chosen.includes(user)}
            onChange=${(on) => setChosen(on ? [...chosen, user] : chosen.filter((each) => each !== user))} />`)}</fieldset>
        <p class="muted small">${t("sandbox.group_hint")}</p><//>`;
}

function AskDialog({ user }) {
    const now = /** @type {any} */ (world.value);
    const [kind, setKind] = useState("friend");
    const stranger = [...now.people.values()].find((each) => !each.friend && each.user_id !== now.id);
    const [who, setWho] = useState(String(user || (stranger ? stranger.user_id : me.peek())));
    const groups = [...now.groups.values()];
    const [group, setGroup] = useState(String(groups.length ? groups[0].group_id : ""));
    const [comment, setComment] = useState("");
    const ask = () => act("ask", kind === "friend" ? { user_id: who, comment } : { user_id: who, comment, group_id: group, sub_type: kind });
    return html`<${Form} title=${t("sandbox.do.ask")} action=${t("sandbox.ask")} run=${ask}>
        <${Select} label=${t("sandbox.ask_kind")} value=${kind} options=${["friend", "add", "invite"].map((each) => [each, t(`sandbox.ask.${each}`)])} onChange=${setKind} />
        <${Select} label=${t("sandbox.ask_who")} value=${who} options=${peopleOptions(now)} onChange=${setWho} />
        ${kind !== "friend" && html`<${Select} label=${t("sandbox.group")} value=${group} options=${groups.map((each) => [each.group_id, `${chatName(now, `g${each.group_id}`)} · ${each.group_id}`])} onChange=${setGroup} />`}
        <${Field} label=${t("sandbox.comment")} value=${comment} onInput=${(event) => setComment(event.currentTarget.value)} />
        <p class="muted small">${t(`sandbox.ask_hint.${kind}`)}</p><//>`;
}

function RequestsDialog() {
    version.value;
    const now = /** @type {any} */ (world.value);
    const open = [...now.requests.values()].reverse();
    return html`<${Dialog} title=${t("sandbox.requests")} onClose=${close} actions=${html`<${Button} icon="plus" kind="primary" onClick=${() => { dialog.value = { kind: "ask" }; }}>${t("sandbox.do.ask")}<//>`}>
        <p class="muted small">${t("sandbox.requests_hint")}</p>
        ${open.length ? html`<ul class="stack">${open.map((request) => html`<li key=${request.flag} class="request-card"><p><${Peer} text=${requestText(now, request)} /></p>
            ${request.comment && html`<p class="muted"><${Peer} text=${request.comment} /></p>`}<p class="small"><code>${request.flag}</code></p></li>`)}</ul>` : html`<p>${t("sandbox.no_requests")}</p>`}<//>`;
}

function JoinDialog({ group }) {
    const now = /** @type {any} */ (world.value);
    const target = now.groups.get(group);
    const options = [...now.people.values()].filter((each) => rankOf(target, each.user_id) < 0).map((each) => [each.user_id, `${nameOf(now, each.user_id)} · ${each.user_id}`]);
    const [who, setWho] = useState(String(options.length ? options[0][0] : ""));
    const [kind, setKind] = useState("approve");
    if (!options.length) {
        return html`<${Dialog} title=${t("sandbox.do.join")} onClose=${close} actions=${html`<${Button} kind="primary" onClick=${() => { dialog.value = { kind: "person" }; }}>${t("sandbox.do.new_person")}<//>`}><p>${t("sandbox.all_in")}</p><//>`;
    }
    return html`<${Form} title=${t("sandbox.do.join")} action=${t("sandbox.add")} run=${() => act("join", { group_id: group, user_id: who, sub_type: kind })}>
        <${Select} label=${t("sandbox.ask_who")} value=${who} options=${options} onChange=${setWho} />
        <${Select} label=${t("sandbox.join_kind")} value=${kind} options=${["approve", "invite"].map((each) => [each, t(`sandbox.join.${each}`)])} onChange=${setKind} /><//>`;
}

/** Events to begin with. @param {any} now @param {string} chat */
function templates(now, chat) {
    const time = Math.floor(Date.now() / 1000);
    const base = { time, self_id: now.id };
    const group = chat[0] === "g" ? Number(chat.slice(1)) : [...now.groups.keys()][0] || 30001;
    const user = me.peek();
    return {
        group_message: { ...base, post_type: "message", message_type: "group", sub_type: "normal", message_id: 100001, group_id: group, user_id: user, message: [{ type: "text", data: { text: "hello" } }], raw_message: "hello", font: 0, sender: { user_id: user, nickname: nameOf(now, user), role: "member" } },
        private_message: { ...base, post_type: "message", message_type: "private", sub_type: "friend", message_id: 100002, user_id: user, message: [{ type: "text", data: { text: "hello" } }], raw_message: "hello", font: 0, sender: { user_id: user, nickname: nameOf(now, user) } },
        friend_add: { ...base, post_type: "notice", notice_type: "friend_add", user_id: user },
        group_increase: { ...base, post_type: "notice", notice_type: "group_increase", sub_type: "approve", group_id: group, operator_id: user, user_id: user },
        group_ban: { ...base, post_type: "notice", notice_type: "group_ban", sub_type: "ban", group_id: group, operator_id: user, user_id: now.id, duration: 600 },
        friend_request: { ...base, post_type: "request", request_type: "friend", user_id: user, comment: "", flag: "flag-1" },
        heartbeat: { ...base, post_type: "meta_event", meta_event_type: "heartbeat", status: { online: true, good: true }, interval: 5000 },
    };
}

function InjectDialog({ chat }) {
    const now = /** @type {any} */ (world.value);
    const all = templates(now, chat);
    const [chosen, setChosen] = useState("group_message");
    const [text, setText] = useState(JSON.stringify(all.group_message, null, 2));
    const [problem, setProblem] = useState("");
    const check = (value) => {
        try {
            const event = JSON.parse(value);
            return event && typeof event === "object" && !Array.isArray(event) ? "" : t("sandbox.no_object");
        } catch (error) {
            return t("sandbox.no_json", { why: String(/** @type {any} */ (error).message) });
        }
    };
    const send = async () => {
        const wrong = check(text);
        setProblem(wrong);
        if (wrong) throw new Error(wrong);
        await inject(text);
    };
    return html`<${Form} title=${t("sandbox.do.inject")} action=${t("sandbox.inject")} run=${send} wide>
        <p class="muted small">${t("sandbox.inject_hint")}</p>
        <${Select} label=${t("sandbox.template")} value=${chosen} options=${Object.keys(all).map((each) => [each, t(`sandbox.template.${each}`)])}
            onChange=${(value) => { setChosen(value); setText(JSON.stringify(all[value], null, 2)); setProblem(""); }} />
        <${Field} label=${t("sandbox.event_json")} error=${problem}>${(attributes) => html`<textarea ...${attributes} class="mono" rows="14" spellcheck=${false} value=${text}
            onInput=${(event) => { const { value } = event.currentTarget; setText(value); setProblem(value.trim() ? check(value) : ""); }}></textarea>`}<//><//>`;
}

function SaveDialog() {
    const now = /** @type {any} */ (world.value);
    return html`<${Form} title=${t("sandbox.do.save")} action=${t("sandbox.save_file")} run=${async () => saveFile(await getWorld(), `world-${now.id}.json`)}><p>${t("sandbox.save_hint")}</p><//>`;
}

/** @param {any} list */
const countOf = (list) => (Array.isArray(list) ? list.length : 0);

function LoadDialog() {
    const now = /** @type {any} */ (world.value);
    const [file, setFile] = useState(/** @type {any} */ (null));
    const [problem, setProblem] = useState("");
    const pick = async (event) => {
        const chosen = event.currentTarget.files[0];
        setFile(null);
        setProblem("");
        if (!chosen) return;
        try {
            const value = JSON.parse(await chosen.text());
            if (!value || typeof value !== "object" || Array.isArray(value)) setProblem(t("sandbox.no_object"));
            else setFile({ chosen, value });
        } catch (error) {
            setProblem(t("sandbox.no_json", { why: String(/** @type {any} */ (error).message) }));
        }
    };
    const run = async () => {
        if (!file) throw new Error(problem || t("sandbox.no_file_chosen"));
        await putWorld(file.chosen);
        await load();
    };
    return html`<${Form} title=${t("sandbox.do.load")} action=${t("sandbox.load_into", { id: now.id })} danger run=${run}>
        <p>${t("sandbox.load_hint", { id: now.id })}</p>
        <${Field} label=${t("sandbox.world_file")} error=${problem}>${(attributes) => html`<input type="file" accept=".json,application/json" ...${attributes} data-picker="world" onChange=${pick} />`}<//>
        ${file && html`<p>${t("sandbox.world_counts", { people: countOf(file.value.people), groups: countOf(file.value.groups), messages: countOf(file.value.messages) })}</p>`}<//>`;
}

function PictureDialog({ url }) {
    return html`<${Dialog} title=${t("sandbox.part.image")} onClose=${close} wide actions=${html`<a class="button" href=${url} download>${t("sandbox.save_file")}</a>`}><img class="whole-picture" src=${url} alt=${t("sandbox.part.image")} /><//>`;
}

/** The dialog that is open. */
export function Dialogs() {
    const open = dialog.value;
    if (!open || !world.value) return null;
    switch (open.kind) {
        case "text": return html`<${TextDialog} ...${open} />`;
        case "confirm": return html`<${Form} title=${open.title} action=${open.action} danger run=${open.run}><p>${t("sandbox.no_way_back")}</p><//>`;
        case "person": return html`<${PersonDialog} key=${open.person ? open.person.user_id : 0} person=${open.person} />`;
        case "people": return html`<${PeopleDialog} />`;
        case "group": return html`<${GroupDialog} />`;
        case "ask": return html`<${AskDialog} user=${open.user} />`;
        case "requests": return html`<${RequestsDialog} />`;
        case "join": return html`<${JoinDialog} group=${open.group} />`;
        case "inject": return html`<${InjectDialog} chat=${open.chat || ""} />`;
        case "save": return html`<${SaveDialog} />`;
        case "load": return html`<${LoadDialog} />`;
        case "picture": return html`<${PictureDialog} url=${open.url} />`;
        case "forward": return html`<${ForwardDialog} key=${open.id} id=${open.id} onClose=${close} />`;
        case "json": return html`<${Dialog} title=${open.title} onClose=${close} wide><${Json} value=${open.value} openDepth=${4} /><//>`;
        default: return null;
    }
}
