// @ts-check
/** The login page: the token that was printed at the first start, or lies in the data folder. */

import { errorText, t } from "../core/i18n.js";
import { Bar, Button, Field, html, useEffect, useRef, useState } from "../core/ui.js";

/** @param {{logIn: (token: string) => Promise<void>, note: string, version?: string, preferences: any}} props */
export default function Login({ logIn, note, version, preferences }) {
    const [token, setToken] = useState("");
    const [error, setError] = useState(/** @type {any} */ (null));
    const [busy, setBusy] = useState(false);
    const form = useRef(/** @type {any} */ (null));
    const focus = () => form.current && form.current.querySelector("[name=token]").focus();
    useEffect(() => {
        document.title = `${t("login.title")} · lgtwist`;
        focus();
    }, []);
    const submit = async (event) => {
        event.preventDefault();
        if (busy) return;
        if (!token.trim()) {
            setError({ code: "no_token_given" });
            focus();
            return;
        }
        setBusy(true);
        setError(null);
        try {
            await logIn(token.trim());
        } catch (refusal) {
            setError(refusal);
            setBusy(false);
            focus();
        }
    };
    return html`<main class="login-page">
        <div class="login-preferences">${preferences}</div>
        <form class="card login" ref=${form} onSubmit=${submit} novalidate>
            <h1><span class="brand"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5 4v11a5 5 0 0 0 5 5h9M19 20V9a5 5 0 0 0-5-5H5" /></svg>lgtwist</span></h1>
            <p class="muted">${t("login.what")}</p>
            ${note && !error && html`<${Bar} kind="warning">${t(note)}<//>`}
            <input class="hidden" type="text" name="username" autocomplete="username" value="lgtwist" tabindex="-1" aria-hidden="true" readonly />
            <${Field} label=${t("login.token")} type="password" name="token" autocomplete="current-password" spellcheck=${false} autocapitalize="off"
                value=${token} onInput=${(event) => setToken(event.currentTarget.value)} error=${error && errorText(error)} />
            <${Button} kind="primary wide" type="submit" disabled=${busy}>${t(busy ? "login.busy" : "login.submit")}<//>
            <details class="help"><summary>${t("login.where")}</summary>
                <p>${t("login.where_printed")}</p>
                <p>${t("login.where_file")}</p>
                <pre tabindex="0"><code>lgtwist token</code></pre>
                <p>${t("login.where_docker")}</p>
                <pre tabindex="0"><code>docker exec lgtwist lgtwist token</code></pre>
            </details>
            ${version && html`<p class="muted small">lgtwist ${version}</p>`}
        </form>
    </main>`;
}
