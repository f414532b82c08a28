// A node-napcat-ts program, as a user writes one, but with its settings from the environment:
//
// URL                   of the forward WebSocket; without a query: the library appends ?access_token=
// ACCESS_TOKEN
// RECONNECT_ATTEMPTS    in a row, after which the library gives up for good (10)
// RECONNECT_DELAY       ms between them (5000)
// API_TIMEOUT           ms (120000)
//
// It answers "quick X" by .handle_quick_operation, everything else by send_msg.
//
// On stdout: READY when it is attached first, "CONNECTED 10001" for each lifecycle event that says so, "DISCONNECTED"
// and the close code when a connection ends.
//
// The packages are not in the repository: see koishi/index.js.

import { NCWebsocket, Structs } from 'node-napcat-ts'

const env = process.env
const say = (...words) => process.stdout.write(words.join(' ') + '\n')

const napcat = new NCWebsocket({
  baseUrl: env.URL,
  accessToken: env.ACCESS_TOKEN,
  apiTimeout: Number(env.API_TIMEOUT || 120000),
  reconnection: {
    enable: true,
    attempts: Number(env.RECONNECT_ATTEMPTS || 10),
    delay: Number(env.RECONNECT_DELAY || 5000),
  },
})

// what is said to it: "ping X", "quick X", "whoami", "size X"
napcat.on('message', async (event) => {
  const text = event.message.filter((part) => part.type === 'text').map((part) => part.data.text).join('')
  const [word] = text.split(' ', 1)
  const rest = text.slice(word.length + 1)
  const where = event.message_type === 'group' ? { group_id: event.group_id } : { user_id: event.user_id }
  const answer = (words) => napcat.send_msg({ ...where, message: [Structs.text(words)] })
  try {
    if (word === 'ping') await answer(`pong ${rest}`)
    else if (word === 'quick') await event.quick_action([Structs.text(`quick ${rest}`)])
    else if (word === 'whoami') await answer((await napcat.get_login_info()).nickname)
    else if (word === 'size') await answer(`size ${[...rest].length}`)
  } catch (failed) {
    console.error('FAILED', JSON.stringify(failed))
  }
})

let ready = false
napcat.on('meta_event.lifecycle.connect', (event) => {
  if (!ready) say('READY')
  ready = true
  say('CONNECTED', event.self_id)
})
napcat.on('socket.close', (event) => say('DISCONNECTED', event.code))
napcat.on('socket.error', (event) => console.error('socket.error', event.error_type, String(event.errors?.[0] ?? event.info?.message)))

await napcat.connect()
