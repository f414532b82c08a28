// A relay on Node's `ws`: node relay_ws.js PORT IMPL_TOKEN BOT_TOKEN
"use strict";
const http = require("http");
const { WebSocketServer, WebSocket } = require("ws");

const [port, implToken, botToken] = process.argv.slice(2);
const LIFECYCLE =
  '{"time":1760000000,"self_id":10001,"post_type":"meta_event","meta_event_type":"lifecycle","sub_type":"connect"}';
const SEND_BUFFER = 4 << 20;

const server = http.createServer((_request, response) => response.writeHead(426).end());
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: false });
const bots = new Set();
const calls = new Map();
let impl = null;
let last = 0;

server.on("upgrade", (request, socket, head) => {
  const isImpl = request.url === "/onebot/v11/ws";
  if (request.headers.authorization !== `Bearer ${isImpl ? implToken : botToken}`) {
    socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    return;
  }
  sockets.handleUpgrade(request, socket, head, isImpl ? talkToImpl : talkToBot);
});

function talkToImpl(ws) {
  impl = ws;
  ws.on("error", () => {});
  ws.on("close", () => {
    if (impl === ws) impl = null;
  });
  ws.on("message", (data) => {
    const frame = JSON.parse(data);
    if (frame.echo === undefined) {
      if (frame.post_type && frame.post_type !== "meta_event" && frame.self_id === 10001) {
        for (const bot of bots) {
          // A slow reader loses events.
          if (bot.readyState === WebSocket.OPEN && bot.bufferedAmount < SEND_BUFFER) bot.send(data, { binary: false });
        }
      }
      return;
    }
    const call = calls.get(frame.echo);
    if (call) {
      calls.delete(frame.echo);
      frame.echo = call.echo;
      call.bot.send(JSON.stringify(frame));
    }
  });
}

function talkToBot(ws) {
  ws.send(LIFECYCLE);
  bots.add(ws);
  ws.on("error", () => {});
  ws.on("close", () => bots.delete(ws));
  ws.on("message", (data) => {
    const action = JSON.parse(data);
    if (!impl) {
      ws.send(JSON.stringify({ status: "failed", retcode: 1501, data: null, echo: action.echo }));
      return;
    }
    const id = ++last;
    calls.set(id, { bot: ws, echo: action.echo });
    action.echo = id;
    impl.send(JSON.stringify(action));
  });
}

server.listen({ port: Number(port), host: "127.0.0.1", backlog: 1024 });
