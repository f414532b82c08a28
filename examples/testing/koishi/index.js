// A bot on Koishi: echo, ban and cat.

const { Context, h } = require('koishi')
const HTTP = require('@koishijs/plugin-http').default
const Server = require('@koishijs/plugin-server').default
const OneBot = require('koishi-plugin-adapter-onebot').default

const app = new Context({ prefix: '/' })
app.plugin(HTTP)
app.plugin(Server, { host: '127.0.0.1', port: Number(process.env.PORT || 5140) })
app.plugin(OneBot, {
  protocol: 'ws-reverse',
  path: '/onebot',
  selfId: process.env.SELF_ID,
  responseTimeout: 1000,
})

app.command('echo <text:text>').action((_, text) => h.text(text))

app.command('ban <user:user>').action(async ({ session }, user) => {
  const { role } = session.onebot.sender
  if (role !== 'owner' && role !== 'admin') return 'only admins may do that'
  try {
    await session.bot.muteGuildMember(session.guildId, user.split(':')[1], 600 * 1000)
  } catch (error) {
    return `that did not work: ${error.message}`
  }
  return 'done'
})

const cat = Buffer.from('\x89PNG\r\n\x1a\na very small cat', 'latin1')

app.command('cat').action(async ({ session }) => {
  const answer = [h.quote(session.messageId), h.image(cat, 'image/png')]
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      if ((await session.send(answer)).length) return
    } catch (error) {
      app.logger('cat').warn('no cat yet: %s', error.message)
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
})

app.start()
