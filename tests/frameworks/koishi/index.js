// A Koishi program, as a user writes one, but with its settings from the environment:
//
// PROTOCOL      ws: it dials ENDPOINT | ws-reverse: it listens on HOST:PORT/onebot |
//               http: it calls ENDPOINT (http://...) and listens for posts on HOST:PORT/onebot
// SELF_ID       the account, which Koishi must know beforehand
// ENDPOINT      of ws and http
// TOKEN         what it brings to ENDPOINT; with ws-reverse Koishi's adapter checks no token
// SECRET        what posts must be signed with
// HOST, PORT    where it listens
// RETRY_TIMES, RETRY_INTERVAL, RETRY_LAZY   of ws: retryTimes (6), retryInterval (5000 ms), retryLazy (60000 ms)
// RESPONSE_TIMEOUT   of ws and ws-reverse, ms (60000)
// REPAIR=1      mends two faults of koishi-plugin-adapter-onebot 6.9.4, see below: it cannot receive posts, and does
//               not come back after a broken link of its own
//
// On stdout: READY when it listens (ws: when the account is online first), "CONNECTED 10001" and "DISCONNECTED 10001"
// when Koishi begins and ceases to take the account for online.
//
// Its packages are not in the repository. tests/frameworks/frameworks.py installs them by `npm ci --omit=dev` into a
// folder outside of it (below LGTWIST_TEST_NODE, where that is set), and runs a copy of this file beside them. By hand:
//
//   mkdir /tmp/k && cp index.js package*.json /tmp/k && cd /tmp/k && npm ci --omit=dev && PROTOCOL=ws ... node index.js

const { Context, Universal, h } = require('koishi')
const HTTP = require('@koishijs/plugin-http').default
const Server = require('@koishijs/plugin-server').default
const OneBot = require('koishi-plugin-adapter-onebot').default

const env = process.env
const number = (text) => (text ? Number(text) : undefined)
const say = (...words) => process.stdout.write(words.join(' ') + '\n')

const app = new Context()
app.plugin(HTTP) // the adapter waits for it, without a word
if (env.PROTOCOL !== 'ws') {
  app.plugin(Server, { host: env.HOST || '127.0.0.1', port: Number(env.PORT) })
}
app.plugin(OneBot, {
  protocol: env.PROTOCOL,
  selfId: env.SELF_ID || '10001',
  endpoint: env.ENDPOINT,
  token: env.TOKEN,
  secret: env.SECRET,
  path: env.PROTOCOL === 'ws' ? undefined : '/onebot',
  responseTimeout: number(env.RESPONSE_TIMEOUT),
  retryTimes: number(env.RETRY_TIMES),
  retryInterval: number(env.RETRY_INTERVAL),
  retryLazy: number(env.RETRY_LAZY),
})

// what is said to it: "ping X", "whoami", "size X"; what a middleware returns is the answer
app.middleware(async (session, next) => {
  const text = h.select(session.elements, 'text').map((part) => part.attrs.content).join('')
  const [word] = text.split(' ', 1)
  const rest = text.slice(word.length + 1)
  if (word === 'ping') return h.text(`pong ${rest}`)
  if (word === 'whoami') return (await session.bot.getLogin()).user.name
  if (word === 'size') return `size ${[...rest].length}`
  return next()
})

if (env.REPAIR) {
  // http: the adapter takes Koa's ctx.body, the response's, for the post's. Without a secret the first post kills
  // the process, with one each is answered 500.
  app.inject(['server'], (ctx) => {
    ctx.server.use(async (koa, next) => {
      koa.body = koa.request.body
      await next()
      const { status } = koa
      koa.body = ''
      koa.status = status
    })
  })
  // ws: the adapter calls the bot offline when the link ends, which calls off the reconnection that Koishi has planned
  app.on('bot-status-updated', (bot) => {
    if (env.PROTOCOL !== 'ws' || bot.status !== Universal.Status.OFFLINE) return
    setTimeout(() => bot.start(), number(env.RETRY_INTERVAL) || 5000)
  })
}

let online = false
let ready = false
app.on('bot-status-updated', (bot) => {
  const now = bot.status === Universal.Status.ONLINE
  if (now === online) return
  online = now
  if (now && env.PROTOCOL === 'ws' && !ready) {
    ready = true
    say('READY')
  }
  say(now ? 'CONNECTED' : 'DISCONNECTED', bot.selfId)
})
app.on('server/ready', () => say('READY'))

app.start()
