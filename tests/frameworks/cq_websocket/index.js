// A cq-websocket program, as a user writes one, but with its settings from the environment:
//
// BASE_URL          of the forward WebSocket, without an ending slash; it dials /event and /api below that
// ACCESS_TOKEN      goes into the query
// RECONNECT_DELAY   ms between attempts (1000); the library goes on for ever
//
// On stdout: READY when both links are open first, "DISCONNECTED" with the link and the close code when one ends.
//
// The packages are not in the repository: see koishi/index.js.
'use strict'

const { CQWebSocket, CQAt, CQImage, CQText } = require('cq-websocket')

const env = process.env
const say = (...words) => process.stdout.write(words.join(' ') + '\n')

const bot = new CQWebSocket({
  baseUrl: env.BASE_URL,
  accessToken: env.ACCESS_TOKEN || '',
  reconnectionDelay: Number(env.RECONNECT_DELAY || 1000),
})

// what is said to it: "ping X", "show X"
async function answer(event, context) {
  const [word] = context.raw_message.split(' ', 1)
  const rest = context.raw_message.slice(word.length + 1)
  const { message_type, user_id, group_id } = context
  const send = (message) => bot('send_msg', { message_type, user_id, group_id, message })
  try {
    if (word === 'ping') await send(`pong ${rest}`)
    else if (word === 'show') {
      const reply = { type: 'reply', data: { id: String(context.message_id) } }
      await send([reply, new CQAt(user_id), new CQText(` ${rest}`), new CQImage('base64://iVBORw0KGgo=')])
    }
  } catch (failed) {
    say('FAILED', failed)
  }
}
bot.on('message.private', answer)
bot.on('message.group', answer)

let ready = false
bot.on('ready', () => {
  if (!ready) say('READY')
  ready = true
})
bot.on('socket.close', (link, code) => say('DISCONNECTED', link, code))
// without this listener the library throws, and the process ends, when an attempt fails
bot.on('socket.error', (link, error) => say('FAILED', link, error.message))
bot.on('error', (error) => say('ERROR', error))

bot.connect()
