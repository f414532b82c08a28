// @ts-check
/** What the program at the other side is to be given: an implementation for an account, a framework for a bot. */

/**
 * @typedef {{name: string, file: string, text: string}} Snippet
 * @typedef {{url: string, token: string, secret: string}} Known
 */

const json = (value) => JSON.stringify(value, null, 2);

/** Host and port of a URL, the port as a number. @param {string} url @param {number} standard the port where it has none */
function placeOf(url, standard) {
    const found = /^\w+:\/\/(\[[^\]]*\]|[^/:?#]*)(?::(\d+))?([^?#]*)/.exec(url || "");
    return { host: (found && found[1]) || "127.0.0.1", port: Number((found && found[2]) || standard), path: (found && found[3]) || "/" };
}

/** @param {string} url of WebSocket */
const asHttp = (url) => url.replace(/^ws/, "http");

/** @param {any} account @param {Known} known @returns {Snippet[]} */
function reverse(account, { url, token }) {
    const whole = `${url}/onebot/v11/ws`;
    const here = placeOf(url, /^wss:/.test(url) ? 443 : 80);
    return [
        { name: "NapCat", file: `config/onebot11_${account.self_id}.json`, text: json({ network: { websocketClients: [{
            name: "lgtwist", enable: true, url: whole, token, messagePostFormat: "array", reportSelfMessage: false, reconnectInterval: 5000, heartInterval: 30000 }] } }) },
        { name: "LLBot", file: `data/config_${account.self_id}.json`, text: json({ ob11: { enable: true, connect: [{
            type: "ws-reverse", enable: true, url: whole, token, heartInterval: 60000, reportSelfMessage: false, reportOfflineMessage: false, messageFormat: "array", debug: false }] } }) },
        { name: "Lagrange", file: "appsettings.json", text: json({ Implementations: [{
            Type: "ReverseWebSocket", Host: here.host, Port: here.port, Suffix: "/onebot/v11/ws", ReconnectInterval: 5000, HeartBeatInterval: 5000, AccessToken: token }] }) },
        { name: "go-cqhttp", file: "config.yml", text: `default-middlewares: &default\n  access-token: '${token}'\nservers:\n  - ws-reverse:\n      universal: ${whole}\n      reconnect-interval: 3000\n      middlewares:\n        <<: *default\n` },
    ];
}

/** @param {any} account @param {Known} known @returns {Snippet[]} */
function forward(account, { token }) {
    const { host, port } = placeOf(account.url, 3001);
    return [
        { name: "NapCat", file: `config/onebot11_${account.self_id}.json`, text: json({ network: { websocketServers: [{
            name: "lgtwist", enable: true, host, port, token, messagePostFormat: "array", reportSelfMessage: false, heartInterval: 30000 }] } }) },
        { name: "LLBot", file: `data/config_${account.self_id}.json`, text: json({ ob11: { enable: true, connect: [{
            type: "ws", enable: true, host, port, token, heartInterval: 60000, reportSelfMessage: false, reportOfflineMessage: false, messageFormat: "array", debug: false }] } }) },
        { name: "Lagrange", file: "appsettings.json", text: json({ Implementations: [{ Type: "ForwardWebSocket", Host: host, Port: port, HeartBeatInterval: 5000, AccessToken: token }] }) },
        { name: "go-cqhttp", file: "config.yml", text: `default-middlewares: &default\n  access-token: '${token}'\nservers:\n  - ws:\n      address: ${host}:${port}\n      middlewares:\n        <<: *default\n` },
    ];
}

/** @param {any} account @param {Known} known @returns {Snippet[]} */
function http(account, { url, token, secret }) {
    const { host, port } = placeOf(account.url, 3000);
    const events = `${asHttp(url)}/onebot/v11/post`;
    const here = placeOf(url, /^wss:/.test(url) ? 443 : 80);
    return [
        { name: "NapCat", file: `config/onebot11_${account.self_id}.json`, text: json({ network: {
            httpServers: [{ name: "lgtwist-api", enable: true, host, port, token }],
            httpClients: [{ name: "lgtwist-post", enable: true, url: events, token: secret, messagePostFormat: "array", reportSelfMessage: false }] } }) },
        { name: "LLBot", file: `data/config_${account.self_id}.json`, text: json({ ob11: { enable: true, connect: [
            { type: "http", enable: true, host, port, token, reportSelfMessage: false, reportOfflineMessage: false, messageFormat: "array", debug: false },
            { type: "http-post", enable: true, url: events, token: secret, enableHeart: true, heartInterval: 60000, reportSelfMessage: false, reportOfflineMessage: false, messageFormat: "array", debug: false }] } }) },
        { name: "Lagrange", file: "appsettings.json", text: json({ Implementations: [{ Type: "Http", Host: host, Port: port, AccessToken: token },
            { Type: "HttpPost", Host: here.host, Port: here.port, Suffix: "/onebot/v11/post", HeartBeatInterval: 5000, Secret: secret }] }) },
        { name: "go-cqhttp", file: "config.yml", text: `default-middlewares: &default\n  access-token: '${token}'\nservers:\n  - http:\n      address: ${host}:${port}\n      timeout: 5\n      middlewares:\n        <<: *default\n      post:\n        - url: ${events}\n          secret: '${secret}'\n` },
    ];
}

/** @param {any} account @param {Known} known @returns {Snippet[]} */
function milky(account, { token }) {
    const { host, port, path } = placeOf(account.url, 80);
    const place = { host, port, prefix: path.replace(/\/+$/, ""), accessToken: token };
    return [
        { name: "LLBot", file: `data/config_${account.self_id}.json`, text: json({ milky: { enable: true, reportSelfMessage: false, http: place } }) },
        { name: "Lagrange V2", file: "appsettings.json", text: json({ Milky: { AccessToken: token, Http: { Host: host, Port: port, Api: { Enabled: true }, WS: { Event: { Enabled: true } } } } }) },
        { name: "Yogurt", file: "config.json", text: json({ milky: { http: place, reportSelfMessage: false } }) },
    ];
}

/**
 * Return what an implementation is given for an account.
 * @param {any} account its keys @param {Known} known
 */
export function accountSnippets(account, known) {
    const made = { "reverse-websocket": reverse, "forward-websocket": forward, http, milky }[account.type];
    return made ? made(account, known) : [];
}

/**
 * Return what a framework is given for a bot.
 * @param {any} bot its keys @param {Known} known
 * @returns {Snippet[]}
 */
export function botSnippets(bot, { url, token, secret }) {
    const account = (bot.accounts && bot.accounts[0]) || 10001;
    const { host, port, path } = placeOf(bot.url, 8080);
    if (bot.connection === "reverse-websocket") {
        return [
            { name: "NoneBot2", file: ".env", text: `DRIVER=~fastapi\nHOST=${host}\nPORT=${port}\nONEBOT_ACCESS_TOKEN=${token}\n` },
            { name: "Koishi", file: "koishi.yml", text: `plugins:\n  server:\n    host: ${host}\n    port: ${port}\n  adapter-onebot:\n    protocol: ws-reverse\n    selfId: '${account}'\n    path: ${path}\n` },
            { name: "aiocqhttp", file: "bot.py", text: `bot = CQHttp(access_token=${JSON.stringify(token)})\nbot.run(host=${JSON.stringify(host)}, port=${port})\n` },
        ];
    }
    if (bot.connection === "http-post") {
        return [
            { name: "NoneBot2", file: ".env", text: `DRIVER=~fastapi+~httpx\nHOST=${host}\nPORT=${port}\nONEBOT_SECRET=${secret}\nONEBOT_ACCESS_TOKEN=${token}\nONEBOT_API_ROOTS={"${account}": "${asHttp(url)}/${account}/"}\n` },
            { name: "aiocqhttp", file: "bot.py", text: `bot = CQHttp(api_root="${asHttp(url)}/", access_token=${JSON.stringify(token)}, secret=${JSON.stringify(secret)})\nbot.run(host=${JSON.stringify(host)}, port=${port})\n` },
        ];
    }
    return [
        { name: "NoneBot2", file: ".env", text: `DRIVER=~websockets\nONEBOT_WS_URLS=["${url}/"]\nONEBOT_ACCESS_TOKEN=${token}\n` },
        { name: "node-napcat-ts", file: "bot.ts", text: `new NCWebsocket({ baseUrl: '${url}/', accessToken: '${token}',\n  reconnection: { enable: true, attempts: Infinity, delay: 5000 } })\n` },
        { name: "qcrbot-sdk", file: "bot.py", text: `bot = Bot("${url}/", access_token=${JSON.stringify(token)}, max_reconnect_attempts=None)\n` },
    ];
}
