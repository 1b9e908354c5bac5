// Hosts and guests of clients/arc-relay.mjs meet a relay that an attacker runs, in virtual time. Prints a JSON object
// with the facts that the test checks.

import { Link, connect, handshake, serve } from "../../../clients/arc-relay.mjs";

const link = Link.new("ws://relay.invalid/");
let time = 0, timers = [], number = 0;
performance.now = () => time;
globalThis.setTimeout = (action, ms = 0) => {
  timers.push({ at: time + ms, number: ++number, action });
  return number;
};
globalThis.clearTimeout = (which) => { timers = timers.filter((timer) => timer.number !== which); };
Math.random = () => 0.5;

/** Number of cryptographic operations that run. They take real time. */
let running = 0;
for (const name of ["importKey", "generateKey", "exportKey", "deriveBits", "digest", "encrypt", "decrypt"]) {
  const operation = crypto.subtle[name].bind(crypto.subtle);
  crypto.subtle[name] = (...values) => {
    running++;
    return operation(...values).finally(() => { running--; });
  };
}

/** Wait until only timers can go on. */
async function settle() {
  for (let turns = 0; turns < 3; turns = running ? 0 : turns + 1) await new Promise(setImmediate);
}

/** Run the timers of the next seconds. */
async function pass(seconds) {
  const end = time + seconds * 1000;
  for (;;) {
    await settle();
    const [next] = timers.sort((a, b) => a.at - b.at || a.number - b.number);
    if (!next || next.at > end) break;
    clearTimeout(next.number);
    time = next.at;
    next.action();
  }
  time = end;
}

/** Return a WebSocket class that does `attack` once it is open, and the reasons of the failed attempts. */
async function meet(role, seconds, attack) {
  const sockets = [], reasons = [], attacks = [];
  class HostileWebSocket {
    bufferedAmount = 0;
    isClosed = false;
    sent = [];
    messages = [];
    constructor() {
      sockets.push(this);
      setTimeout(() => {
        this.onopen();
        setTimeout(() => attacks.push(attack(this)), 5);
      });
    }
    send(data) {
      this.sent.push(data.byteLength);
      this.messages.push(data);
    }
    deliver(size) { this.onmessage({ data: new Uint8Array(size).buffer }); }
    close() { this.isClosed = true; }
  }
  const stop = new AbortController();
  const onEvent = ({ type, reason }) => { if (type === "Retrying") reasons.push(reason); };
  const options = { WebSocket: HostileWebSocket, signal: stop.signal, onEvent };
  const done = (role === "host" ? serve(link, () => {}, options) : connect(link, options)).catch(() => {});
  await pass(seconds);
  await Promise.all(attacks);
  stop.abort();
  await pass(1);
  await done;
  return { sockets, reasons };
}

const facts = {};

{
  const { sockets, reasons } = await meet("host", 1, (socket) => socket.deliver(0));
  facts.anotherHost = { sent: sockets[0].sent, reasons };
}
{
  let isClosed = false;
  await meet("host", 0.1, (socket) => {
    for (const size of [48, 100, 100]) socket.deliver(size);
    isClosed = socket.isClosed;
  });
  facts.thirdMessageEndsConnection = isClosed;
}
{
  let early = 0, late = 0;
  await meet("guest", 0.1, (socket) => {
    socket.deliver(0);
    socket.deliver(48);
    for (; !socket.isClosed; early++) socket.deliver(1);
  });
  await meet("guest", 0.1, async (socket) => {
    const send = (message) => socket.onmessage({ data: message.buffer }), receive = () => socket.messages[0];
    await handshake(false, link.key, `arc-relay endpoint 1\nlink\n${link.code}`, { send, receive });
    while (socket.sent.length < 2) await new Promise(setImmediate);
    for (; !socket.isClosed && late < 300_000; late++) socket.deliver(1);
  });
  facts.earlyMessages = early;
  facts.tinyMessages = late;
}
{
  const cut = (socket) => setTimeout(() => socket.onclose({ code: 1006, reason: "" }), 10);
  const { sockets } = await meet("host", 200, cut);
  facts.attempts = sockets.length;
}
console.log(JSON.stringify(facts));
process.exit(0);
