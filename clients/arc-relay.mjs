/**
 * Encrypted byte streams between two endpoints through a relay: docs/endpoints.md, version 1.
 *
 * One file without dependencies, for browsers, Node 20 and later, Deno and Bun. A browser has WebCrypto
 * only in pages of `https:` or of localhost. Node 20 has no WebSocket: pass that of the package `ws`.
 *
 *     import { connect, serve } from "./arc-relay.mjs";
 *
 *     const session = await connect(link);
 *     await file.stream().pipeTo(session.writable);      // the close of the writable ends the stream
 *     const answer = await new Response(session.readable).text();
 *     await session.closed;                              // the peer has acknowledged everything
 *
 *     await serve(link, async (session) => session.readable.pipeTo(session.writable));
 *
 * @module
 */

const MAX_MESSAGE = 65_535;
const BLOCK = 64_000; // bytes of the stream in one message, and in one block of a buffer
const WINDOW = 4 * 2 ** 20; // bytes that an endpoint keeps in each direction of a session
const OVERHEAD = 64; // bytes that a queued message counts in addition to its size, because its objects need memory
const MAX_UNSENT = 2 ** 20; // bytes in the WebSocket, which has no limit of its own
const UNAUTHENTICATED = { bytes: 1024, ms: 5000 }; // limits of an unauthenticated peer; the time from its first byte
const ACK_SIZE = 256 * 2 ** 10; // consumed bytes that are acknowledged at once

// Milliseconds
const ACK_DELAY = 100, REPEAT_ACK_AFTER = 1000; // the latter after a part of the stream, if nothing was sent since
const PING_AFTER = { active: 1500, idle: 15_000 }, PONG_TIMEOUT = 3500; // of silence
const ACTIVE = 30_000; // after the last part of a stream
const LINGER = 30_000; // for FINISHED, for the end of a stream that no program reads, and for the first connection
const ABORT_TIMEOUT = 5000; // for an aborted session to tell its peer
const STABLE = 1000; // an earlier end of a connection is a failed attempt in the same outage
const WAIT = { link: 60_000, session: 15_000 }; // then a waiting connection, which may be dead, is replaced

const REQUEST = 0x01, SESSION = 0x02, REFUSED = 0x03;
const RESUME = 0x10, DATA = 0x11, END = 0x12, ACK = 0x13;
const PING = 0x14, PONG = 0x15, FINISHED = 0x16, ABORT = 0x17;
const REASON = { target: 1, closed: 2, full: 3, violation: 4 };

/** Base class of the errors of endpoints. No message holds a code, a key or a token. */
export class EndpointError extends Error {
  get name() { return this.constructor.name; }
}
/** A link or the URL of a relay is not valid. */
export class InvalidLink extends EndpointError {}
/** No WebSocket could be opened. */
export class NoRelay extends EndpointError {}
/** The relay refused the request, and would refuse it again. Browsers hide the status: see {@link NoRelay}. */
export class Refused extends EndpointError {
  /** @param {number} status status of the HTTP response */
  constructor(status) { super(`the relay refused the connection: ${status}`); this.status = status; }
}
/** The peer does not have the key of the link. */
export class WrongKey extends EndpointError {
  constructor() { super("the peer does not have the key of this link"); }
}
/** A message of the peer violates the endpoint protocol. */
export class ProtocolViolation extends EndpointError {}
/** The connection was lost, and did not come back within the resume timeout. */
export class ResumeTimeout extends EndpointError {}
/** The peer ended the session, or refused to open one. */
export class PeerAborted extends EndpointError {
  /** @param {number} reason reason of ABORT or REFUSED @param {string} text text of the peer */
  constructor(reason, text) {
    super(text || `the peer ended the session with reason ${reason}`);
    Object.assign(this, { reason, text });
  }
}
/** Thrown by the handler of a host that cannot reach its target. The message goes to the guest, with reason 1. */
export class TargetError extends EndpointError {}

// Causes of a lost connection that decide the next attempt.
const WRONG_KEY = "wrong key", ANOTHER_GUEST = "another guest", NO_GUEST = "no guest", EXPIRED = "expired";

// A connection ended before its session was over. `status` is that of the HTTP response, if the runtime reports it.
class Lost extends Error {}

/**
 * Event of an endpoint. No event holds a secret.
 *
 * @typedef {{ type: "Waiting" } | { type: "Connected", session: string }
 *   | { type: "Lost", session: string, reason: string }
 *   | { type: "Retrying", session: string | null, reason: string, delay: number }
 *   | { type: "Ended", session: string, error: Error | null }} EndpointEvent
 *
 * @typedef {object} Options
 * @property {AbortSignal} [signal] aborts the attempt, and later the sessions
 * @property {(event: EndpointEvent) => void} [onEvent] called for each event, must not throw
 * @property {any} [WebSocket] constructor, by default the global one
 * @property {number} [connectTimeout] seconds to open a first WebSocket, by default 15
 * @property {number} [resumeTimeout] seconds without a connection after which a session is given up, by default 300
 */

// Messages

const { subtle } = crypto;
const utf8 = new TextEncoder();
const EMPTY = new Uint8Array(0);
const now = () => performance.now();
const random = (size) => crypto.getRandomValues(new Uint8Array(size));
const encodeBase64 = (data) =>
  btoa(String.fromCharCode(...data)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
// Remove control and format characters, line separators, and halves of surrogate pairs.
const displayable = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "");

function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let end = 0;
  for (const part of parts) whole.set(part, (end += part.length) - part.length);
  return whole;
}

// Return ACK, or RESUME if there is a window.
function positionMessage(type, position, window) {
  const view = new DataView(new ArrayBuffer(window ? 13 : 9));
  view.setUint8(0, type);
  view.setBigUint64(1, BigInt(position));
  if (window) view.setUint32(9, window);
  return new Uint8Array(view.buffer);
}

// Return REFUSED or ABORT. The text is cut after a whole character.
function reasonMessage(type, reason, text) {
  const body = new Uint8Array(200);
  const { written } = utf8.encodeInto(displayable(text), body);
  return concat([type, reason], body.subarray(0, written));
}

const require = (condition, text) => { if (!condition) throw new ProtocolViolation(text); };

// Return the value of a function, or throw an error in place of its own, which may quote a secret.
function attempt(run, error) {
  try {
    return run();
  } catch {
    throw error;
  }
}

// Least and greatest size of the body of each type.
const SIZES = {
  [REQUEST]: [0, 0], [SESSION]: [54, 54], [REFUSED]: [1, 201], [RESUME]: [12, 12], [DATA]: [1, 65_518], [END]: [0, 0],
  [ACK]: [8, 8], [PING]: [0, 0], [PONG]: [0, 0], [FINISHED]: [0, 0], [ABORT]: [1, 201],
};

/**
 * Return the fields of a message, for tests. The fields that its type does not have are undefined.
 *
 * @param {Uint8Array} message plaintext
 * @throws {ProtocolViolation} it is malformed
 */
export function decode(message) {
  const [type] = message, body = message.subarray(1), view = new DataView(message.buffer, message.byteOffset);
  const [least, greatest] = SIZES[type] ?? [1, 0];
  require(body.length >= least && body.length <= greatest, "a message has an unknown type, or a body of another size");
  if (type === ACK) return { type, received: Number(view.getBigUint64(1)) };
  if (type === RESUME) {
    const window = view.getUint32(9);
    require(window > 0, "the window of RESUME is 0");
    return { type, received: Number(view.getBigUint64(1)), window };
  }
  if (type === SESSION) {
    const code = String.fromCharCode(...body.subarray(0, 22));
    require(/^[\w-]{21}[AQgw]$/.test(code), "the code of SESSION is not valid");
    return { type, code, key: body.slice(22) };
  }
  if (type !== REFUSED && type !== ABORT) return { type, data: body };
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const text = attempt(() => decoder.decode(body.subarray(1)), new ProtocolViolation("a text is not UTF-8"));
  return { type, reason: body[0], text: displayable(text) };
}

// The link

/** A link: the URL of a relay with the link code, and the link key. Neither is shown by `toString`. */
export class Link {
  #url; #code; #key;

  /**
   * @param {string} url URL of the relay, `ws` or `wss`, without `pair` and without a fragment
   * @param {string} code pair code of 1 to 256 characters
   * @param {Uint8Array} key 32 bytes
   * @throws {InvalidLink}
   */
  constructor(url, code, key) {
    if (!code || [...code].length > 256) throw new InvalidLink("the pair code of a link has 1 to 256 characters");
    if (key.length !== 32) throw new InvalidLink("the key of a link has 32 bytes");
    this.#url = parseURL(url, "the URL of a relay");
    this.#code = code;
    this.#key = key.slice();
  }

  /** Parse a link. @param {string} text `wss://HOST[:PORT][/PATH]/?pair=CODE#k=KEY` @throws {InvalidLink} */
  static parse(text) {
    const url = parseURL(text, "a link");
    const [pairs, others] = splitQuery(url);
    if (pairs.length !== 1) throw new InvalidLink("a link has one parameter pair");
    const spelled = pairs[0].replace(/^[^=]*=?/, "").replace(/\+/g, " ");
    const code = attempt(() => decodeURIComponent(spelled), new InvalidLink("the pair code of a link is UTF-8"));
    const [, letters] = /^#k=([\w-]{43})$/.exec(url.hash) ?? [];
    if (!letters) throw new InvalidLink("the fragment of a link is k= and a key of 43 characters");
    const key = Uint8Array.from(atob(letters.replace(/-/g, "+").replace(/_/g, "/")), (byte) => byte.charCodeAt(0));
    if (encodeBase64(key) !== letters) throw new InvalidLink("the key of the link has a wrong last character");
    url.search = others.join("&");
    url.hash = "";
    return new Link(url.href, code, key);
  }

  /**
   * Return a link with a new code and a new key.
   *
   * @param {string} relayUrl `wss://HOST[:PORT][/PATH]/`
   * @throws {InvalidLink}
   */
  static new(relayUrl) {
    const url = parseURL(relayUrl, "the URL of a relay"), subject = "the URL of a relay for a new link";
    if (url.hash || splitQuery(url)[0].length) throw new InvalidLink(`${subject} has no pair code and no fragment`);
    if (url.searchParams.has("token")) throw new InvalidLink(`${subject} has no token: every guest would get it`);
    return new Link(relayUrl, encodeBase64(random(16)), random(32));
  }

  /** Link code. */
  get code() { return this.#code; }
  /** Link key. */
  get key() { return this.#key.slice(); }
  /** The link with its secrets. */
  get text() { return `${this.url()}#k=${encodeBase64(this.#key)}`; }
  toString() { return `Link(${this.#url.origin}${this.#url.pathname})`; }

  /** Return the URL of a WebSocket. @param {string} [code] by default the link code @param {string} [token] */
  url(code = this.#code, token) {
    const url = new URL(this.#url), parts = [`pair=${encodeURIComponent(code)}`, ...splitQuery(url)[1]];
    if (token) parts.push(`token=${encodeURIComponent(token)}`);
    url.search = parts.join("&");
    return url.href;
  }
}

function parseURL(text, subject) {
  const url = attempt(() => new URL(text), new InvalidLink(`${subject} is a URL, as in wss://relay.example/`));
  if (!/^wss?:$/.test(url.protocol)) throw new InvalidLink(`${subject} begins with wss:// or ws://`);
  if (url.username || url.password) throw new InvalidLink(`${subject} has no user name and no password`);
  return url;
}

// Return the parameters of a query as they are spelled: those with the name `pair`, and the others.
function splitQuery(url) {
  const parts = url.search.slice(1).split("&").filter(Boolean);
  const isPair = (part) => new URLSearchParams(part).has("pair");
  return [parts.filter(isPair), parts.filter((part) => !isPair(part))];
}

// Noise_NNpsk0_25519_AESGCM_SHA256, revision 34

const NAME = utf8.encode("Noise_NNpsk0_25519_AESGCM_SHA256");
const X25519 = { name: "X25519" };

// Return a function that encrypts or decrypts the messages of one direction in their order.
async function makeCipher(operation, key) {
  const imported = await subtle.importKey("raw", key, "AES-GCM", false, [operation]);
  let counter = 0n;
  return async (data, additionalData = EMPTY) => {
    const iv = new Uint8Array(12);
    new DataView(iv.buffer).setBigUint64(4, counter++);
    return new Uint8Array(await subtle[operation]({ name: "AES-GCM", iv, additionalData }, imported, data));
  };
}

async function deriveKeys(salt, material, count) {
  const key = await subtle.importKey("raw", material, "HKDF", false, ["deriveBits"]);
  const bits = await subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info: EMPTY }, key, count * 256);
  return Array.from({ length: count }, (_, index) => new Uint8Array(bits, index * 32, 32));
}

/**
 * Do a handshake with empty payloads. Return its hash, and the functions that encrypt and decrypt further messages.
 *
 * @param {boolean} isInitiator
 * @param {Uint8Array} psk pre-shared key
 * @param {string} prologue
 * @param {{ send(message: Uint8Array): unknown, receive(): Promise<Uint8Array> | Uint8Array }} channel
 * @param {CryptoKeyPair} [keys] ephemeral keys, for tests alone
 * @throws {WrongKey} the keys differ, or the message was changed
 */
export async function handshake(isInitiator, psk, prologue, channel, keys) {
  keys ??= await subtle.generateKey(X25519, false, ["deriveBits"]);
  let hash = NAME, chain = NAME, key, added, remote;
  const mixHash = async (data) => { hash = new Uint8Array(await subtle.digest("SHA-256", concat(hash, data))); };
  const mixKey = async (material) => { [chain, key] = await deriveKeys(chain, material, 2); };
  await mixHash(utf8.encode(prologue));
  [chain, added, key] = await deriveKeys(chain, psk, 3);
  await mixHash(added);
  for (const isFirst of [true, false]) {
    const isOwn = isFirst === isInitiator;
    const message = isOwn ? new Uint8Array(await subtle.exportKey("raw", keys.publicKey)) : await channel.receive();
    if (!isOwn && message.length !== 48) throw new WrongKey();
    const ephemeral = message.slice(0, 32);
    if (!isOwn) remote = ephemeral;
    await mixHash(ephemeral);
    await mixKey(ephemeral);
    if (!isFirst) {
      const publicKey = await subtle.importKey("raw", remote, X25519, false, []);
      const shared = new Uint8Array(await subtle.deriveBits({ ...X25519, public: publicKey }, keys.privateKey, 256));
      require(shared.some(Boolean), "the Diffie-Hellman result is zero");
      await mixKey(shared);
    }
    const crypt = await makeCipher(isOwn ? "encrypt" : "decrypt", key);
    const tag = isOwn ? await crypt(EMPTY, hash) : message.slice(32);
    if (!isOwn) await crypt(tag, hash).catch(() => { throw new WrongKey(); });
    await mixHash(tag);
    if (isOwn) await channel.send(concat(ephemeral, tag));
  }
  const [first, second] = await deriveKeys(chain, EMPTY, 2);
  const [own, peers] = isInitiator ? [first, second] : [second, first];
  return { hash, encrypt: await makeCipher("encrypt", own), decrypt: await makeCipher("decrypt", peers) };
}

// Connections

// Wait, at most until a signal aborts.
function sleep(ms, signal) {
  return new Promise((resolve) => {
    const wake = () => { clearTimeout(timer); signal.removeEventListener("abort", wake); resolve(); };
    const timer = setTimeout(wake, ms);
    signal.addEventListener("abort", wake);
    if (signal.aborted) wake();
  });
}

const reasonOf = (signal) => (signal.reason instanceof Error ? signal.reason : new EndpointError("aborted"));

// Describe the connections with a code. The signal ends them.
const withCode = (place, kind, code, key) => ({
  ...place, isLink: kind === "link", code, key, url: place.link.url(code, place.token),
  prologue: ["arc-relay endpoint 1", kind, code].join("\n"),
});

// Check the arguments of `connect` and `serve`. Return them for the connections with the link code.
function prepare(target, isGuest, options) {
  const { signal = new AbortController().signal, onEvent = () => {}, WebSocket = globalThis.WebSocket } = options;
  if (!WebSocket) throw new EndpointError("this runtime has no WebSocket: pass that of the package ws as an option");
  if (!subtle) throw new EndpointError("this page has no WebCrypto: it is neither of https: nor of localhost");
  const link = typeof target === "string" ? Link.parse(target) : target;
  return withCode({ ...options, link, isGuest, signal, onEvent, WebSocket, id: null }, "link", link.code, link.key);
}

// Encrypted messages over one WebSocket. The signal aborts at the end of the connection, with its cause.
class Channel {
  #place; #socket; #queue; #reader; #timer; #encrypt; #decrypt;
  #count = 0; #bytes = 0; #isTrusted = false;
  #end = new AbortController();
  signal = this.#end.signal;
  lastReceived = now();
  establishedAt = 0; // time at which the attempt has succeeded

  constructor(place) {
    this.#place = place;
    const forNode = { maxPayload: MAX_MESSAGE, perMessageDeflate: false }; // for the package ws; others ignore it
    const refused = new NoRelay("this runtime opens no WebSocket to the relay; a page of https: cannot use ws:");
    const socket = this.#socket = attempt(() => new place.WebSocket(place.url, [], forNode), refused);
    const strategy = { highWaterMark: 2 * WINDOW, size: (data) => data.length + OVERHEAD };
    this.#reader = new ReadableStream({ start: (queue) => { this.#queue = queue; } }, strategy).getReader();
    this.signal.addEventListener("abort", () => {
      clearTimeout(this.#timer);
      this.#queue.close();
      socket.close(1000);
      // The package ws waits for a dead relay for 30 s, and keeps Node running meanwhile.
      setTimeout(() => socket.terminate?.(), 2000).unref?.();
    });
    place.signal.addEventListener("abort", () => this.end("the program ended it"), { signal: this.signal });
    let isOpen = false;
    socket.onopen = () => { isOpen = true; this.#queue.enqueue(EMPTY); }; // open() receives it
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onerror = ({ message }) => {
      const text = displayable(String(message ?? "")), isSecret = text.includes("://") || text.includes(place.code);
      const status = Number(/\b[45]\d\d$/.exec(text)?.[0]); // NaN for none
      if (!isOpen) this.end(text && !isSecret ? text : "the connection failed", "", status);
    };
    socket.onclose = ({ code, reason }) => {
      if (!isOpen) return this.end("the connection failed");
      if (!code || code === 1006) return this.end("the connection was cut, without a close frame");
      const text = `the relay closed the connection with ${code} ${displayable(reason)}`.trim();
      if (code === 1001 && reason !== "relay stopping") return this.end(text, EXPIRED);
      return this.end(text, reason === "peer disconnected" && !this.#count ? NO_GUEST : "");
    };
  }

  // Wait until the relay has accepted the WebSocket.
  async open(ms) {
    this.limit(ms, "the relay did not answer in time");
    await this.receive();
    const { isLink, isGuest } = this.#place;
    this.limit(isLink ? WAIT.link : WAIT.session, "no peer came", EXPIRED);
    if (isLink && !isGuest) await this.send(EMPTY); // the sign of a host
  }

  // Wait for the peer, and do the handshake.
  async handshake() {
    const { key, prologue, isGuest } = this.#place;
    let message;
    const tapped = { send: (data) => this.send(data), receive: async () => (message = await this.receive()) };
    try {
      const { encrypt, decrypt } = await handshake(isGuest, key, prologue, tapped);
      [this.#encrypt, this.#decrypt, this.#isTrusted] = [encrypt, decrypt, isGuest];
      if (isGuest) this.limit();
    } catch (error) {
      if (error instanceof Lost) throw error;
      if (!(error instanceof WrongKey)) throw this.end(`the handshake failed: ${error.name}`);
      if (!isGuest) await this.send(random(48)); // tells the guest that the keys differ
      const asHost = { send() {}, receive: () => message };
      const isAnother = isGuest && await handshake(false, key, prologue, asHost).then(() => true, () => false);
      // The peer closes after its message, so that the connection may have ended with another reason.
      if (isAnother) throw new Lost("another guest uses the link", { cause: ANOTHER_GUEST });
      throw new Lost("the peer has another key", { cause: WRONG_KEY });
    }
  }

  #receive(data) {
    const { isGuest } = this.#place, size = data.byteLength;
    if (this.signal.aborted) return;
    if (size === 0 && !this.#count) { // the sign of a host
      if (!isGuest) this.end("the peer is another host", NO_GUEST);
      return;
    }
    if (!this.#count++) this.limit(UNAUTHENTICATED.ms, "the peer did not authenticate itself in time");
    this.#bytes += size;
    // A guest sends its third message after the answer to the second, which authenticates it.
    const isExcess = !this.#isTrusted && (this.#count > 2 || this.#bytes > UNAUTHENTICATED.bytes);
    if (!(size <= MAX_MESSAGE) || isExcess) return this.end("the peer sent text or too long a message");
    if (this.#queue.desiredSize <= 0) return this.end("the peer sent more than its window");
    this.lastReceived = now();
    this.#queue.enqueue(new Uint8Array(data));
  }

  // Return the next message. Messages that arrived before the end of the connection come first.
  async receive() {
    const { value } = await this.#reader.read();
    if (!value) throw this.signal.reason;
    if (!this.#decrypt) return value;
    const plaintext = await this.#decrypt(value).catch(() => { throw this.end("a message does not decrypt"); });
    this.#isTrusted = true;
    return plaintext;
  }

  // Send a message, encrypted after the handshake, and wait until there is room for another one.
  async send(message) {
    const data = this.#encrypt ? await this.#encrypt(message) : message;
    if (this.signal.aborted || this.#socket.readyState > 1) return; // receive() throws the cause
    this.#socket.send(data);
    while (this.#socket.bufferedAmount > MAX_UNSENT && !this.signal.aborted) await sleep(4, this.signal);
  }

  // End the connection after a time, instead of the time given before.
  limit(ms, text, cause) {
    clearTimeout(this.#timer);
    if (ms && !this.signal.aborted) this.#timer = setTimeout(() => this.end(text, cause), ms);
  }

  // End the connection, if it has not ended, and return why it ended.
  end(text, cause, status) {
    this.#end.abort(Object.assign(new Lost(text, { cause }), { status }));
    return this.signal.reason;
  }
}

// Connect again and again, until `use` returns a value for a connection.
async function keepConnecting(place, use) {
  const { isLink, isGuest, signal, onEvent, connectTimeout = 15 } = place;
  let failures = 0, outage = now(), wasAccepted = !isLink;
  for (;;) {
    if (signal.aborted) throw reasonOf(signal);
    const channel = new Channel(place), isLong = () => now() - outage > 60_000;
    try {
      await channel.open(isLong() ? 15_000 : 5000); // the relay may check for 2 s if another side is dead
      if (isLink) channel.establishedAt = now();
      if (!wasAccepted) onEvent({ type: "Waiting" });
      wasAccepted = true;
      await channel.handshake();
      const result = await use(channel);
      if (result) return result;
      [failures, outage] = [0, now()];
    } catch (error) {
      channel.end("the attempt failed");
      if (signal.aborted) throw reasonOf(signal);
      const { cause, status, message } = error, isViolation = error instanceof ProtocolViolation && !isGuest;
      if (!(error instanceof Lost) && !isViolation) throw error;
      const isFinal = !wasAccepted && status < 500 && ![401, 408, 409, 425, 429].includes(status);
      if (isFinal || (status === 401 && !isGuest)) throw new Refused(status); // 401 tells a guest that the host is away
      if (cause === WRONG_KEY && isLink && isGuest) throw new WrongKey();
      if (!wasAccepted && now() - outage > connectTimeout * 1000) {
        throw new NoRelay(`no WebSocket to the relay could be opened: ${message}`);
      }
      const isStable = channel.establishedAt && now() - channel.establishedAt > STABLE;
      const isByPeer = isViolation || cause === WRONG_KEY || cause === ANOTHER_GUEST; // no fault of the relay
      if (isStable || (isByPeer && channel.establishedAt)) outage = now();
      failures = isStable ? 0 : failures + 1;
      let range = failures && Math.min(isLong() ? 15_000 : 1000, 100 * 2 ** failures), reason = message;
      if (cause === ANOTHER_GUEST || status === 409) range = 1000;
      if (cause === NO_GUEST && isLink && !isGuest) {
        range = 15_000;
        reason = "another host may use this link: a peer connected and is no guest";
      }
      const delay = Math.random() * range;
      if (cause !== EXPIRED) onEvent({ type: "Retrying", session: place.id, reason, delay: delay / 1000 });
      await sleep(delay, signal);
    } finally {
      channel.end("closed");
    }
  }
}

// Sessions

// Bytes of a stream, in blocks, so that many small parts need no more memory than a few large ones.
class StreamBuffer {
  #blocks = new Map();
  end = 0;
  hasEnded = false;

  append(data) {
    for (let rest = data; rest.length;) {
      const index = Math.floor(this.end / BLOCK), offset = this.end % BLOCK, part = rest.subarray(0, BLOCK - offset);
      if (!offset) this.#blocks.set(index, new Uint8Array(BLOCK));
      this.#blocks.get(index).set(part, offset);
      this.end += part.length;
      rest = rest.subarray(part.length);
    }
  }

  // Return a view of the bytes between two positions, at most to the end of a block.
  read(position, end) {
    const offset = position % BLOCK;
    return this.#blocks.get(Math.floor(position / BLOCK)).subarray(offset, offset + end - position);
  }

  discard(position) {
    for (const index of this.#blocks.keys()) {
      if ((index + 1) * BLOCK <= position) this.#blocks.delete(index);
    }
  }
}

/** A byte stream in each direction, which survives lost connections. */
export class Session {
  #place; #reading; #writing; #settleClosed; #resolveConnected; #changed; #wake = () => {};
  #stop = new AbortController(); #timer; #isEnding = false; #isOver = false; #error = null; #abortMessage;
  // Positions in the streams. The end of a stream counts as one byte.
  #out = new StreamBuffer(); #next = 0; #acked = 0; #delivered = 0; #peerWindow = 0;
  #in = new StreamBuffer(); #consumed = 0; #ackSent = 0; #ackTimer = 0;
  // Types of the messages that are due in this connection, and times in milliseconds.
  #due = new Set(); #finishedSent = false; #finishedReceived = false;
  #pingedAt = 0; #activeAt = now(); #unansweredSince = 0;

  /** Short random name for logs, not a secret. */
  id = encodeBase64(random(4));
  /** Bytes of the peer. Reading acknowledges them; cancelling aborts the session. @type {ReadableStream<Uint8Array>} */
  readable = new ReadableStream({
    start: (controller) => { this.#reading = controller; },
    pull: () => this.#pull(),
    cancel: () => this.abort(),
  }, { highWaterMark: 0 });
  /**
   * Bytes for the peer. A write waits while 4 MiB are not acknowledged. The close ends the stream.
   *
   * @type {WritableStream<Uint8Array | ArrayBuffer | ArrayBufferView>}
   */
  writable = new WritableStream({
    start: (controller) => { this.#writing = controller; },
    write: (chunk) => this.#write(chunk),
    close: () => this.#end(),
    abort: () => this.abort(),
  });
  /** Fulfilled when both streams have ended and are acknowledged; rejected on failure. @type {Promise<void>} */
  closed = new Promise((resolve, reject) => { this.#settleClosed = (error) => (error ? reject(error) : resolve()); });
  /** Fulfilled with this session at its first connection. @internal @type {Promise<Session>} */
  connected = new Promise((resolve, reject) => { this.#resolveConnected = resolve; this.closed.catch(reject); });
  /** Fulfilled when the session is over, and its peer knows, if possible. @internal @type {Promise<void>} */
  finished;

  /** @internal */
  constructor(place, code, key) {
    this.#place = { ...withCode(place, "session", code, key), signal: this.#stop.signal, id: this.id };
    this.connected.catch(() => {}); // no program may await it
    this.#change();
    this.#limit(Math.min(LINGER, this.#resumeMs));
    this.finished = this.#run(place.signal);
  }

  /** Bytes that the peer has acknowledged. */
  get bytesSent() { return Math.min(this.#acked, this.#out.end); }
  /** Bytes that the program has consumed. */
  get bytesReceived() { return Math.min(this.#consumed, this.#in.end); }

  /** End the session at once. The peer gets an error. @param {string} [text] for people, at most 200 bytes of UTF-8 */
  abort(text = "") { this.#fail(new EndpointError("the session was aborted"), REASON.closed, text); }

  /** End the session after the handler of a host. @internal @param {unknown} [error] failure of the handler */
  async leave(error) {
    if (error instanceof TargetError) return this.#fail(error, REASON.target, error.message);
    if (error !== undefined) return this.#fail(error, REASON.closed, "the host failed");
    this.#end();
    for (let leftAt = 0; !this.#isOver && !this.#error && !this.#isInComplete; await this.#changed) {
      this.#consume(this.#in.end - this.#consumed); // nobody reads it
      if (this.#isOutComplete) leftAt ||= now();
      if (leftAt && now() - leftAt > LINGER) this.abort("the program of the peer has ended");
    }
  }

  get #resumeMs() { return (this.#place.resumeTimeout ?? 300) * 1000; }
  get #isOutComplete() { return this.#acked > this.#out.end; }
  get #isInComplete() { return this.#consumed > this.#in.end; }

  // Wake everything that awaits `#changed`.
  #change() {
    this.#wake();
    this.#changed = new Promise((resolve) => { this.#wake = resolve; });
  }

  // Give up after a time, instead of the time given before: without an error, if only FINISHED was missing.
  #limit(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#isOver = this.#isEnding;
      this.#stop.abort(new ResumeTimeout("the connection was lost, and did not come back in time"));
    }, Math.min(ms, 2 ** 31 - 1));
  }

  // The streams of the program

  async #write(chunk) {
    if (!ArrayBuffer.isView(chunk) && !(chunk instanceof ArrayBuffer)) {
      this.#fail(new TypeError("a chunk is a Uint8Array, another view, or an ArrayBuffer"), REASON.closed, "");
    }
    if (this.#error) throw this.#error;
    let data = new Uint8Array(chunk.buffer ?? chunk, chunk.byteOffset, chunk.byteLength);
    while (data.length) {
      if (this.#out.hasEnded) throw new EndpointError("the stream has ended");
      const room = WINDOW - (this.#out.end - this.#acked);
      this.#out.append(data.subarray(0, room));
      data = data.subarray(room);
      this.#change();
      if (data.length) await this.#changed;
      if (this.#error) throw this.#error;
    }
  }

  #end() { this.#out.hasEnded = true; this.#change(); }

  async #pull() {
    while (!this.#error && this.#consumed === this.#in.end) await this.#changed;
    if (this.#error || this.#isInComplete) return;
    const data = this.#in.read(this.#consumed, this.#in.end).slice();
    this.#reading.enqueue(data);
    this.#consume(data.length);
  }

  #consume(size) {
    this.#consumed += size;
    this.#in.discard(this.#consumed);
    if (this.#in.hasEnded && this.#consumed === this.#in.end) {
      this.#consumed++;
      if (!this.#error) this.#reading.close();
    }
    const unacked = this.#consumed - this.#ackSent;
    if (unacked >= ACK_SIZE || this.#isInComplete) this.#send(ACK);
    else if (unacked) this.#ackTimer ||= setTimeout(() => { this.#ackTimer = 0; this.#send(ACK); }, ACK_DELAY);
  }

  // One connection

  // Return true if the session is over at the end of the connection.
  async #exchange(channel) {
    const { isGuest } = this.#place;
    const resume = positionMessage(RESUME, this.#in.end + (this.#in.hasEnded ? 1 : 0), WINDOW);
    if (isGuest) await channel.send(resume);
    if (isGuest) channel.limit(UNAUTHENTICATED.ms, "the host did not continue the session in time");
    const first = await channel.receive();
    channel.limit();
    if (!isGuest) await channel.send(resume);
    this.#due = new Set(this.#consumed ? [ACK] : []);
    this.#finishedSent = false;
    this.#pingedAt = 0;
    const ticker = setInterval(() => this.#check(channel), 500);
    channel.signal.addEventListener("abort", () => this.#change());
    try {
      await Promise.all([this.#receiveAll(channel, first), this.#sendAll(channel)]);
    } catch (error) {
      if (error instanceof Lost && !this.#isOver) {
        if (!this.#isEnding) this.#limit(this.#resumeMs);
        this.#emit("Lost", { reason: error.message });
      }
      if (!this.#isOver) throw error;
    } finally {
      clearInterval(ticker);
    }
    return true;
  }

  // Handle the messages of a connection, until it ends.
  async #receiveAll(channel, first) {
    for (let message = first; ; message = await channel.receive()) {
      try {
        this.#handle(channel, decode(message));
      } catch (error) {
        if (!(error instanceof ProtocolViolation)) throw error;
        this.#fail(error, REASON.violation, error.message);
      }
    }
  }

  // Send messages, until the connection has ended or the session is over.
  async #sendAll(channel) {
    while (!this.#isOver && !channel.signal.aborted) {
      const message = this.#nextMessage();
      if (message) this.#unansweredSince = 0;
      await (message ? channel.send(message) : this.#changed);
    }
    channel.end("the session is over");
  }

  // Send a message of this type as soon as possible.
  #send(type) { this.#due.add(type); this.#change(); }

  // Return the message to send now, if there is one.
  #nextMessage() {
    const due = this.#due, out = this.#out, limit = this.#acked + this.#peerWindow;
    this.#isOver ||= Boolean(this.#abortMessage);
    if (this.#isOver) return this.#abortMessage;
    if (due.delete(PONG)) return Uint8Array.of(PONG);
    if (due.delete(PING)) return Uint8Array.of(PING);
    if (due.delete(ACK)) return positionMessage(ACK, this.#ackSent = this.#consumed);
    if (this.#next < Math.min(out.end, limit)) {
      const data = out.read(this.#next, Math.min(out.end, limit));
      this.#next += data.length;
      this.#activeAt = now();
      return concat([DATA], data);
    }
    if (out.hasEnded && this.#next === out.end && this.#next < limit) {
      this.#next++;
      return Uint8Array.of(END);
    }
    if (!this.#isOutComplete || !this.#isInComplete || this.#finishedSent) return null;
    if (!this.#isEnding) this.#limit(LINGER);
    this.#isEnding = this.#finishedSent = true;
    this.#isOver = this.#finishedReceived;
    return Uint8Array.of(FINISHED);
  }

  #handle(channel, { type, data, received, window, reason, text }) {
    require((type === RESUME) === !channel.establishedAt, "a session connection begins with its only RESUME");
    if (type === RESUME) {
      require(received >= this.#delivered && received <= this.#next, "RESUME has a position out of range");
      require(window === (this.#peerWindow || window), "RESUME has another window");
      this.#next = this.#delivered = received;
      this.#peerWindow = window;
      channel.establishedAt = now();
      if (!this.#isEnding) clearTimeout(this.#timer);
      this.#emit("Connected");
      this.#resolveConnected(this);
    } else if (type === DATA || type === END) {
      require(!this.#in.hasEnded, "DATA or END follows END");
      require(this.#in.end + data.length - this.#consumed <= WINDOW, "DATA exceeds the window");
      this.#in.append(data);
      this.#in.hasEnded = type === END;
      this.#activeAt = now();
      this.#unansweredSince ||= now();
      if (type === END && this.#consumed === this.#in.end) this.#consume(0);
    } else if (type === ACK) {
      require(received >= this.#acked && received <= this.#next, "ACK has a position out of range");
      this.#acked = received;
      this.#delivered = Math.max(this.#delivered, received);
      this.#out.discard(received);
    } else if (type === PING) {
      this.#due.add(PONG);
    } else if (type === FINISHED) {
      require(this.#next > this.#out.end && this.#isInComplete, "FINISHED precedes the end of a stream");
      this.#finishedReceived = true;
      this.#isOver = this.#finishedSent;
    } else if (type === ABORT) {
      throw new PeerAborted(reason, text);
    } else {
      require(type === PONG, "a message is not allowed in a session");
    }
    this.#change();
  }

  // Repeat ACK, send PING to a silent peer, and end a silent connection.
  #check(channel) {
    const time = now(), silence = time - channel.lastReceived;
    if (this.#unansweredSince && time - this.#unansweredSince > REPEAT_ACK_AFTER) this.#due.add(ACK);
    if (channel.lastReceived < this.#pingedAt) {
      if (time - this.#pingedAt > PONG_TIMEOUT) channel.end("the peer is silent");
    } else if (silence > (time - this.#activeAt < ACTIVE ? PING_AFTER.active : PING_AFTER.idle)) {
      this.#pingedAt = time;
      this.#due.add(PING);
    }
    this.#change();
  }

  // The whole session

  #emit(type, fields) { this.#place.onEvent({ type, session: this.id, ...fields }); }

  // End the session with an error here, and with ABORT for the peer, if it can be told in time.
  #fail(error, reason, text) {
    if (this.#error || this.#isOver) return;
    this.#abortMessage = reasonMessage(ABORT, reason, text);
    this.#isEnding = true;
    this.#limit(ABORT_TIMEOUT);
    this.#settle(error);
  }

  // End the streams of the program.
  #settle(error) {
    if (this.#error) return;
    this.#error = error;
    this.#reading.error(error);
    this.#writing.error(error);
    this.#settleClosed(error);
    this.#change();
  }

  async #run(signal) {
    const onAbort = () => this.#fail(reasonOf(signal), REASON.closed, "");
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    try {
      await keepConnecting(this.#place, (channel) => this.#exchange(channel));
    } catch (error) {
      if (!this.#isOver) this.#settle(error);
    }
    signal.removeEventListener("abort", onAbort);
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#settleClosed();
    this.#emit("Ended", { error: this.#error });
  }
}

/**
 * Open a session with the host of a link, and wait for the host.
 *
 * @param {Link | string} link
 * @param {Options} [options]
 * @returns {Promise<Session>}
 * @throws {EndpointError} the session could not be opened
 */
export async function connect(link, options = {}) {
  const place = prepare(link, true, options);
  const session = await keepConnecting(place, async (channel) => {
    channel.limit(UNAUTHENTICATED.ms, "the host did not answer in time");
    await channel.send(Uint8Array.of(REQUEST));
    const answer = decode(await channel.receive());
    if (answer.type === REFUSED) throw new PeerAborted(answer.reason, answer.text);
    require(answer.type === SESSION, "the host answered REQUEST with another message");
    return new Session(place, answer.code, answer.key);
  });
  return session.connected;
}

/**
 * Serve the guests of a link until the signal aborts.
 *
 * The handler is called for each session. When its promise is fulfilled, the stream to the guest ends, and
 * the rest of the stream of the guest is discarded. When it is rejected, the guest gets an error.
 *
 * @param {Link | string} link
 * @param {(session: Session) => unknown} handler
 * @param {Options & { token?: string, maxSessions?: number }} [options] `token` opens codes of a relay with a
 *   token file, and is part of the URL; `maxSessions` is 100 by default
 * @returns {Promise<void>} fulfilled when the signal has aborted and every session has ended
 * @throws {EndpointError} the relay cannot be reached, or refuses the link code
 */
export async function serve(link, handler, options = {}) {
  const place = prepare(link, false, options), sessions = new Set();
  try {
    await keepConnecting(place, async (channel) => {
      const { type } = decode(await channel.receive());
      channel.limit(UNAUTHENTICATED.ms, "the guest did not move to its session in time");
      require(type === REQUEST, "a guest did not begin with REQUEST");
      if (sessions.size >= (options.maxSessions ?? 100)) {
        await channel.send(reasonMessage(REFUSED, REASON.full, "the host serves no further guest"));
      } else {
        const code = encodeBase64(random(16)), key = random(32);
        await channel.send(concat([SESSION], utf8.encode(code), key));
        const session = new Session(place, code, key);
        session.connected.then(() => handler(session)).then(() => session.leave(), (error) => session.leave(error));
        sessions.add(session.finished);
        session.finished.then(() => sessions.delete(session.finished));
      }
      await channel.receive().catch(() => {}); // the guest closes the connection
    });
  } catch (error) {
    if (!place.signal.aborted) throw error;
  } finally {
    await Promise.all(sessions);
  }
}
