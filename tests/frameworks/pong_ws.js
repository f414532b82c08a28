// A bot on Node's "ws" that writes down the number of each event that it has handled.
//
// URL, SEEN, BLOCK_AT, STALL_AT   as in pong_client.py
// BLOCK_HOW                       "await": the handlers of such events never go on; "sleep": the whole program hangs
"use strict";
const fs = require("fs");
const WebSocket = require("ws");

const standStill = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const seen = fs.openSync(process.env.SEEN, "a", 0o600);
const blockAt = Number(process.env.BLOCK_AT ?? Infinity);
const stallAt = Number(process.env.STALL_AT ?? NaN);

function dial() {
  const socket = new WebSocket(process.env.URL);
  socket.on("message", async (data) => {
    const event = JSON.parse(data.toString());
    if (event.n === undefined) return;
    if (event.n === stallAt) standStill(500);
    if (event.n >= blockAt) {
      if (process.env.BLOCK_HOW === "sleep") standStill();
      await new Promise(() => {});
    }
    fs.writeSync(seen, `${event.life ?? 0} ${event.n} ${performance.now() / 1000}\n`);
  });
  socket.on("error", (error) => console.log(String(error)));
  socket.on("close", () => setTimeout(dial, 50));
}
dial();
