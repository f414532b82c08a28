// @ts-check
/** Not written yet. */

import { t } from "../core/i18n.js";
import { Empty, html } from "../core/ui.js";

export default function Page() {
    return html`<${Empty} title=${t("tester.title")} />`;
}
