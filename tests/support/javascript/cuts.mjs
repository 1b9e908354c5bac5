// Two sessions of clients/arc-relay.mjs exchange streams over a relay in memory that cuts connections, also with
// messages that were delivered and not yet read. Prints the number of cuts, or fails with an AssertionError.

import assert from "node:assert/strict";

import { Link, connect, serve } from "../../../clients/arc-relay.mjs";

const SIZE = 8_000_000;
const BYTES_BETWEEN_CUTS = 300_000;
Math.random = () => 0; // no random delay between attempts

const waiting = new Map();
const joined = new Set();
let forwarded = 0, cuts = 0;

/** A WebSocket whose messages arrive in batches at its peer, which has the same URL. */
class MemoryWebSocket {
  bufferedAmount = 0;
  #inbox = [];

  constructor(url) {
    setTimeout(() => {
      this.peer = waiting.get(url);
      if (this.peer) {
        waiting.delete(url);
        this.peer.peer = this;
        joined.add(this);
      } else waiting.set(url, this);
      this.onopen();
      for (const data of this.peer?.early.splice(0) ?? []) this.#deliver(data);
    });
    this.url = url;
    this.early = [];
  }

  send(data) {
    if (this.peer) this.peer.#deliver(data);
    else this.early.push(data);
  }

  #deliver(data) {
    this.#inbox.push(data.buffer ?? data);
    forwarded += data.byteLength;
    if (this.#inbox.length === 1) setTimeout(() => this.#flush());
  }

  /** Deliver everything in one turn of the event loop, and then cut the connection if it is time. */
  #flush() {
    for (const data of this.#inbox.splice(0)) this.onmessage?.({ data: data.slice() });
    if (forwarded > BYTES_BETWEEN_CUTS) {
      forwarded = 0;
      cuts++;
      this.close();
    }
  }

  close() {
    if (waiting.get(this.url) === this) waiting.delete(this.url);
    const peer = this.peer;
    this.peer = null;
    for (const end of [this, peer]) {
      if (end) setTimeout(() => end.onclose({ code: 1006, reason: "" }));
    }
    if (peer) peer.peer = null;
  }
}

/** Byte at each position: no two blocks of 64,000 are equal. */
const byteAt = (position) => (position % 1000 + 7 * Math.floor(position / 1000)) % 256;

async function send({ writable }) {
  const writer = writable.getWriter();
  for (let position = 0; position < SIZE;) {
    const size = Math.min(SIZE - position, 1 + (position * 31) % 150_000);
    await writer.write(Uint8Array.from({ length: size }, (_, i) => byteAt(position + i)));
    position += size;
  }
  await writer.close();
}

async function check({ readable }) {
  let position = 0;
  for await (const chunk of readable) {
    for (const byte of chunk) assert.equal(byte, byteAt(position++));
  }
  assert.equal(position, SIZE);
}

const exchange = (session) => Promise.all([send(session), check(session), session.closed]);
const link = Link.new("ws://relay.invalid/");
const stop = new AbortController();
const options = { WebSocket: MemoryWebSocket };
let checked;
const serving = serve(link, (session) => (checked = exchange(session)), { ...options, signal: stop.signal });
await exchange(await connect(link, options));
await checked;
stop.abort();
await serving;
assert.ok(cuts >= 3, `${cuts} cuts`);
console.log(`${cuts} cuts`);
