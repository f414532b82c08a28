// @ts-check
/** A backup as one zip: without secrets by a link, with them after the admin token was asked for. */

import { requestResponse, urlOf } from "../../core/api.js";
import { AskToken } from "../../core/configuration.js";
import { errorText, t } from "../../core/i18n.js";
import { Button, html, Icon, Problem, saveFile, useState } from "../../core/ui.js";

/** Return the backup with secrets. @param {string} token @returns {Promise<{blob: Blob, name: string}>} */
async function withSecrets(token) {
    const response = await requestResponse("POST", "backup", { json: { secrets: true, token } });
    const found = /filename="([^"/\\]+)"/.exec(response.headers.get("Content-Disposition") || "");
    return { blob: await response.blob(), name: found ? found[1] : "lgtwist-backup.zip" };
}

export function Backup() {
    const [asking, setAsking] = useState(false);
    const [error, setError] = useState(/** @type {any} */ (null));
    const [done, setDone] = useState(false);
    const submit = async (token) => {
        setError(null);
        try {
            const { blob, name } = await withSecrets(token);
            saveFile(blob, name);
            setAsking(false);
            setDone(true);
        } catch (refusal) {
            setError(refusal);
        }
    };
    return html`<section class="card stack" aria-labelledby="backup-title"><h2 id="backup-title">${t("configuration.backup")}</h2>
        <p>${t("configuration.backup_what")}</p>
        <div class="row"><a class="button primary" href=${urlOf("backup", { secrets: 0 })} download><${Icon} name="download" /><span>${t("configuration.backup_without")}</span></a>
            <${Button} icon="download" onClick=${() => { setError(null); setDone(false); setAsking(true); }}>${t("configuration.backup_with")}<//></div>
        <p class="muted small">${t("configuration.backup_hint")}</p>
        <p role="status">${done && t("configuration.backup_done")}</p>
        ${asking && html`<${AskToken} title=${t("configuration.backup_with")} what=${t("configuration.backup_token")} action=${t("configuration.backup_get")} error=${error} submit=${submit} close=${() => setAsking(false)} />`}
        ${error && !asking && html`<${Problem} error=${error} text=${errorText(error)} />`}</section>`;
}
