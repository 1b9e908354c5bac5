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

/** @type {any} */ const subtle = crypto.subtle;
const utf8 = new TextEncoder();

const NAME = utf8.encode("Noise_NNpsk0_25519_AESGCM_SHA256");
const VERSION = "arc-relay endpoint 1";
const MAX_MESSAGE = 65_535;
const TAG_SIZE = 16;
const KEY_SIZE = 32;
const HANDSHAKE_SIZE = KEY_SIZE + TAG_SIZE;
/** Bytes that an unauthenticated peer may send, and milliseconds that it has from its first byte. */
const UNAUTHENTICATED = { bytes: 1024, ms: 5000 };

/** Bytes of the stream in one message, and in one block of a buffer. */
const BLOCK = 64_000;
/** Bytes that an endpoint keeps in each direction of a session. */
const WINDOW = 4 * 2 ** 20;
/** Bytes that a received message counts in addition to its size, because the promise of its plaintext needs memory. */
const OVERHEAD = 64;
/** Bytes between encryption and the network. WebSocket buffers without a limit of its own. */
const MAX_UNSENT = 2 ** 20;
const ACK_BYTES = 256 * 2 ** 10;
const ACK_MS = 100;
/** Milliseconds after which an endpoint that received a part of the stream, and sent nothing, repeats its ACK. */
const REPEAT_ACK_MS = 1000;
/** Milliseconds for FINISHED, for the end of a stream that no program reads, and for the first connection. */
const LINGER_MS = 30_000;
/** Milliseconds after which a connection counts as a success. An earlier end is a failed attempt in the same outage. */
const STABLE_MS = 1000;
/** Milliseconds that an aborted session has to tell its peer. */
const ABORT_MS = 5000;
/** Milliseconds after which a waiting connection is replaced. It may be dead, and a page cannot send pings. */
const WAIT_MS = { link: 60_000, session: 15_000 };

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
  constructor(status) {
    super(`the relay refused the connection: ${status}`);
    this.status = status;
  }
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
    this.reason = reason;
    this.text = text;
  }
}
/** Thrown by the handler of a host that cannot reach its target. The message goes to the guest, with reason 1. */
export class TargetError extends EndpointError {}

/** A connection ended before its session was over. */
class Lost extends Error {
  /** Status of the HTTP response, as far as the runtime tells it. */
  status = 0;
  /** True if the peer has another key. */
  wrongKey = false;
  /** True if the peer is another guest of the link. */
  another = false;
  /** True if the end of the connection is usual, so that no event reports it. */
  quiet = false;
  /** True if the peer is another host of the link, or sent nothing. */
  notGuest = false;
}

/**
 * @typedef {{ type: "Waiting" } | { type: "Connected", session: string }
 *   | { type: "Lost", session: string, reason: string }
 *   | { type: "Retrying", session: string | null, reason: string, delay: number }
 *   | { type: "Ended", session: string, error: Error | null }} EndpointEvent
 *
 * @typedef {object} Options
 * @property {AbortSignal} [signal] aborts the attempt, and later the sessions
 * @property {(event: EndpointEvent) => void} [onEvent] called for each event, must not throw; no event holds a secret
 * @property {any} [WebSocket] constructor, by default the global one
 * @property {number} [connectTimeout] seconds to open a first WebSocket, by default 15
 * @property {number} [resumeTimeout] seconds without a connection after which a session is given up, by default 300
 */

// Text and bytes

/** @param {Uint8Array[]} parts */
function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}

/** @param {Uint8Array} data */
function encodeBase64(data) {
  return btoa(String.fromCharCode(...data)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}

/** @param {number} size */
const random = (size) => crypto.getRandomValues(new Uint8Array(size));

/** @param {number} type @param {number} position @param {number} [window] */
function positionMessage(type, position, window) {
  const message = new DataView(new ArrayBuffer(window === undefined ? 9 : 13));
  message.setUint8(0, type);
  message.setBigUint64(1, BigInt(position));
  if (window !== undefined) message.setUint32(9, window);
  return new Uint8Array(message.buffer);
}

/** Text without control and format characters and without line separators. @param {string} text */
const displayable = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "");

/** @param {number} type @param {number} reason @param {string} text */
function reasonMessage(type, reason, text) {
  const body = new Uint8Array(200);
  const { written } = utf8.encodeInto(displayable(text), body);
  return concat(Uint8Array.of(type, reason), body.subarray(0, written));
}

/** @param {boolean} condition @param {string} text @returns {asserts condition} */
function require(condition, text) {
  if (!condition) throw new ProtocolViolation(text);
}

/** Size of the body by type: its least and greatest value. @type {Record<number, [number, number]>} */
const SIZES = {
  [REQUEST]: [0, 0], [SESSION]: [54, 54], [REFUSED]: [1, 201],
  [RESUME]: [12, 12], [DATA]: [1, MAX_MESSAGE - TAG_SIZE - 1], [END]: [0, 0], [ACK]: [8, 8],
  [PING]: [0, 0], [PONG]: [0, 0], [FINISHED]: [0, 0], [ABORT]: [1, 201],
};

/**
 * Return the fields of a message. Those that its type does not have are undefined.
 *
 * @param {Uint8Array} message plaintext @throws {ProtocolViolation} it is malformed
 */
export function decode(message) {
  const [type] = message;
  const body = message.subarray(1);
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const [least, greatest] = SIZES[type] ?? [1, 0];
  require(body.length >= least && body.length <= greatest, "a message has an unknown type, or a body of another size");
  let received = 0, window = 0, reason = 0, text = "", code = "";
  if (type === RESUME || type === ACK) received = Number(view.getBigUint64(0));
  if (type === RESUME) {
    window = view.getUint32(8);
    require(window > 0, "the window of RESUME is 0");
  } else if (type === SESSION) {
    code = String.fromCharCode(...body.subarray(0, 22));
    require(/^[\w-]{21}[AQgw]$/.test(code), "the code of SESSION is not valid");
  } else if (type === REFUSED || type === ABORT) {
    reason = body[0];
    try {
      text = displayable(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body.subarray(1)));
    } catch {
      throw new ProtocolViolation("a text is not UTF-8");
    }
  }
  return { type, body, received, window, reason, text, code };
}

// The link

/** A link: the URL of a relay with the link code, and the link key. Neither is shown by `toString`. */
export class Link {
  #url; #code; #key;

  /**
   * @param {string} url URL of the relay, `ws` or `wss`, without `pair` and without a fragment
   * @param {string} code pair code of 1 to 256 characters
   * @param {Uint8Array} key 32 bytes
   */
  constructor(url, code, key) {
    if (!code || [...code].length > 256) throw new InvalidLink("the pair code of a link has 1 to 256 characters");
    if (key.length !== KEY_SIZE) throw new InvalidLink(`the key of a link has ${KEY_SIZE} bytes`);
    this.#url = parseURL(url, "the URL of a relay");
    this.#code = code;
    this.#key = key.slice();
  }

  /** @param {string} text `wss://HOST[:PORT][/PATH]/?pair=CODE#k=KEY` @throws {InvalidLink} */
  static parse(text) {
    const url = parseURL(text, "a link");
    const others = withoutPair(url);
    const [pair, second] = parameters(url).filter((part) => !others.includes(part));
    if (pair === undefined || second !== undefined) throw new InvalidLink("a link has one parameter pair");
    let code;
    try {
      code = decodeURIComponent(pair.slice(pair.indexOf("=") + 1).replace(/\+/g, " "));
    } catch {
      throw new InvalidLink("the pair code of a link is UTF-8");
    }
    const [, key] = /^#k=([\w-]{43})$/.exec(url.hash) ?? [];
    if (!key) throw new InvalidLink("the fragment of a link is k= and a key of 43 characters");
    const data = Uint8Array.from(atob(key.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
    if (encodeBase64(data) !== key) throw new InvalidLink("the key of the link has a wrong last character");
    url.search = others.join("&");
    url.hash = "";
    return new Link(url.href, code, data);
  }

  /** Return a link with a new code and a new key. @param {string} relayUrl `wss://HOST[:PORT][/PATH]/` @throws {InvalidLink} */
  static new(relayUrl) {
    const url = parseURL(relayUrl, "the URL of a relay");
    const others = withoutPair(url);
    if (url.hash || others.length < parameters(url).length) {
      throw new InvalidLink("the URL of a relay for a new link has no pair code and no fragment");
    }
    if (others.some((part) => new URLSearchParams(part).has("token"))) {
      throw new InvalidLink("the URL of a relay for a new link has no token: every guest would get it");
    }
    return new Link(relayUrl, encodeBase64(random(16)), random(KEY_SIZE));
  }

  get code() { return this.#code; }
  get key() { return this.#key.slice(); }
  /** The link with its secrets. */
  get text() { return `${this.url()}#k=${encodeBase64(this.#key)}`; }
  toString() { return `Link(${this.#url.origin}${this.#url.pathname})`; }

  /**
   * URL of a WebSocket.
   *
   * @param {string} [code] by default the link code
   * @param {string} [token]
   */
  url(code = this.#code, token) {
    const url = new URL(this.#url);
    const parts = [`pair=${encodeURIComponent(code)}`, ...withoutPair(url)];
    if (token) parts.push(`token=${encodeURIComponent(token)}`);
    url.search = parts.join("&");
    return url.href;
  }
}

/** @param {string} text @param {string} subject */
function parseURL(text, subject) {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidLink(`${subject} is a URL, as in wss://relay.example/`); // its own error quotes the text
  }
  if (!/^wss?:$/.test(url.protocol)) throw new InvalidLink(`${subject} begins with wss:// or ws://`);
  if (url.username || url.password) throw new InvalidLink(`${subject} has no user name and no password`);
  return url;
}

/** Parameters of the query, as they are spelled. @param {URL} url */
const parameters = (url) => url.search.slice(1).split("&").filter(Boolean);

/** The same without the pair code. @param {URL} url */
const withoutPair = (url) => parameters(url).filter((part) => !new URLSearchParams(part).has("pair"));

// Noise_NNpsk0_25519_AESGCM_SHA256, revision 34

/** Key and counter of one direction. The calls encrypt or decrypt in their order, and overlap. */
class CipherState {
  #key;
  #counter = 0;

  /** @param {CryptoKey} key */
  constructor(key) { this.#key = key; }

  /** @param {Uint8Array} key */
  static async create(key) {
    return new CipherState(await subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]));
  }

  /** @param {Uint8Array} [additionalData] */
  #parameters(additionalData = new Uint8Array(0)) {
    if (this.#counter > Number.MAX_SAFE_INTEGER) throw new Error("the key has encrypted its last message");
    const iv = new Uint8Array(12);
    new DataView(iv.buffer).setBigUint64(4, BigInt(this.#counter++));
    return { name: "AES-GCM", iv, additionalData };
  }

  /** @param {Uint8Array} data @param {Uint8Array} [additionalData] */
  encrypt(data, additionalData) { return subtle.encrypt(this.#parameters(additionalData), this.#key, data); }

  /** @param {Uint8Array | ArrayBuffer} data @param {Uint8Array} [additionalData] */
  decrypt(data, additionalData) { return subtle.decrypt(this.#parameters(additionalData), this.#key, data); }
}

/**
 * State of a handshake, for both roles. The payloads are empty.
 *
 * The initiator calls `writeFirst`, `readSecond` and `split`, and the responder `readFirst`, `writeSecond`
 * and `split`. A rejected call means that the keys differ or that the message was changed.
 */
export class Handshake {
  #chain = NAME;
  #hash = NAME;
  /** @type {CipherState | undefined} */ #cipher;
  /** @type {CryptoKeyPair | undefined} */ #own;
  /** @type {Uint8Array | undefined} */ #remote;

  /** @param {Uint8Array} psk @param {string} prologue @param {CryptoKeyPair} [keys] ephemeral keys, for tests alone */
  static async create(psk, prologue, keys) {
    const state = new Handshake();
    state.#own = keys;
    await state.#mixHash(utf8.encode(prologue));
    const [added, key] = await state.#derive(psk, 3);
    await state.#mixHash(added);
    state.#cipher = await CipherState.create(key);
    return state;
  }

  /** Hash of the messages so far. */
  get hash() { return this.#hash; }

  async writeFirst() {
    return concat(await this.#writeKey(), await this.#seal());
  }

  /** @param {Uint8Array} message */
  async readFirst(message) {
    await this.#readKey(message);
    await this.#open(message);
  }

  async writeSecond() {
    const key = await this.#writeKey();
    await this.#agree();
    return concat(key, await this.#seal());
  }

  /** @param {Uint8Array} message */
  async readSecond(message) {
    await this.#readKey(message);
    await this.#agree();
    await this.#open(message);
  }

  /** Return the ciphers from initiator to responder, and back. */
  async split() {
    const keys = await this.#derive(new Uint8Array(0), 2, true);
    return Promise.all(keys.map(CipherState.create));
  }

  async #writeKey() {
    this.#own ??= /** @type {CryptoKeyPair} */ (await subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]));
    const key = new Uint8Array(await subtle.exportKey("raw", this.#own.publicKey));
    await this.#mixPublic(key);
    return key;
  }

  /** @param {Uint8Array} message */
  async #readKey(message) {
    require(message.length === HANDSHAKE_SIZE, "a handshake message has another size");
    this.#remote = message.slice(0, KEY_SIZE);
    await this.#mixPublic(this.#remote);
  }

  /** Mix in a public key, also as key material because of the pre-shared key. @param {Uint8Array} key */
  async #mixPublic(key) {
    await this.#mixHash(key);
    await this.#mixKey(key);
  }

  async #agree() {
    const own = /** @type {CryptoKeyPair} */ (this.#own).privateKey;
    const remote = /** @type {Uint8Array} */ (this.#remote);
    const key = await subtle.importKey("raw", remote, { name: "X25519" }, false, []);
    const shared = new Uint8Array(await subtle.deriveBits({ name: "X25519", public: key }, own, 256));
    require(shared.some((byte) => byte !== 0), "the Diffie-Hellman result is zero");
    await this.#mixKey(shared);
  }

  /** @param {Uint8Array} data */
  async #mixHash(data) {
    this.#hash = new Uint8Array(await subtle.digest("SHA-256", concat(this.#hash, data)));
  }

  /** @param {Uint8Array} material */
  async #mixKey(material) {
    const [key] = await this.#derive(material, 2);
    this.#cipher = await CipherState.create(key);
  }

  /**
   * Derive keys with HKDF. The first becomes the chaining key, except at the end.
   *
   * @param {Uint8Array} material
   * @param {number} count
   */
  async #derive(material, count, last = false) {
    const key = await subtle.importKey("raw", material, "HKDF", false, ["deriveBits"]);
    const parameters = { name: "HKDF", hash: "SHA-256", salt: this.#chain, info: new Uint8Array(0) };
    const bits = await subtle.deriveBits(parameters, key, count * KEY_SIZE * 8);
    const keys = Array.from({ length: count }, (_, i) => new Uint8Array(bits.slice(i * KEY_SIZE, (i + 1) * KEY_SIZE)));
    if (!last) this.#chain = /** @type {any} */ (keys.shift());
    return keys;
  }

  async #seal() {
    const tag = new Uint8Array(await /** @type {CipherState} */ (this.#cipher).encrypt(new Uint8Array(0), this.#hash));
    await this.#mixHash(tag);
    return tag;
  }

  /** @param {Uint8Array} message */
  async #open(message) {
    const tag = message.slice(KEY_SIZE);
    await /** @type {CipherState} */ (this.#cipher).decrypt(tag, this.#hash);
    await this.#mixHash(tag);
  }
}

// One WebSocket

const now = () => performance.now();

/** @param {number} ms @param {AbortSignal} [signal] ends the wait */
function sleep(ms, signal) {
  return /** @type {Promise<void>} */ (new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  }));
}

/**
 * @typedef {object} Place
 * @property {Link} link
 * @property {"link" | "session"} kind
 * @property {string} code
 * @property {Uint8Array} key
 * @property {boolean} guest
 * @property {string} [token]
 * @property {any} WebSocket
 * @property {AbortSignal} signal ends the connection
 * @property {() => void} [onOpen]
 */

/** @typedef {{ size: number, message: Promise<Uint8Array> }} Queued size of a received message, and its plaintext */

/** Encrypted messages over one WebSocket, in order. */
class Channel {
  #socket; #place;
  /** @type {Lost | undefined} */ #lost;
  /** Received messages in their order. @type {Queued[]} */ #queue = [];
  #queued = 0;
  #count = 0;
  #hasHostSign = false;
  /** True once a message of the peer has decrypted. */ #isAuthentic = false;
  #wake = () => {};
  /** @type {CipherState | undefined} */ #sending;
  /** @type {CipherState | undefined} */ #receiving;
  #sent = Promise.resolve();
  #unsent = 0;
  /** @type {any} */ #timer;
  /** @type {any} */ #poll;
  #opened = () => {};
  #abort = () => { this.end("the program ended it"); };
  #resolveEnded = () => {};
  /** Fulfilled at the end of the connection. @type {Promise<void>} */
  ended = new Promise((resolve) => { this.#resolveEnded = resolve; });
  /** Called when there may be room for a message. */
  onRoom = () => {};
  lastReceived = now();

  /** @param {Place} place */
  constructor(place) {
    this.#place = place;
    let failure = "the connection failed", isOpen = false;
    try {
      // The third argument is for the package `ws`; others ignore it.
      const options = { maxPayload: MAX_MESSAGE, perMessageDeflate: false };
      this.#socket = new place.WebSocket(place.link.url(place.code, place.token), [], options);
    } catch (error) { // its message quotes the URL
      throw new NoRelay(`cannot create a WebSocket: ${error instanceof Error ? error.name : "unknown error"}`);
    }
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => {
      isOpen = true;
      this.#opened();
    };
    this.#socket.onmessage = (/** @type {any} */ event) => this.#receive(event.data);
    this.#socket.onerror = (/** @type {any} */ event) => {
      const text = displayable(String(event?.message ?? ""));
      if (text && !text.includes("://") && !text.includes(place.code)) failure = text;
      if (!isOpen) this.end(failure, { status: Number(/\b[45]\d\d$/.exec(failure)?.[0] ?? 0) });
    };
    this.#socket.onclose = (/** @type {any} */ event) => {
      const { code, reason } = event;
      const closed = `the relay closed the connection with ${code} ${displayable(reason)}`.trim();
      const cause = !code || code === 1006 ? "the connection was cut, without a close frame" : closed;
      const quiet = code === 1001 && reason !== "relay stopping";
      this.end(isOpen ? cause : failure, { quiet, notGuest: reason === "peer disconnected" && !this.#count });
    };
    place.signal.addEventListener("abort", this.#abort);
    if (place.signal.aborted) this.#abort();
  }

  /** Open a WebSocket, and do the handshake with the peer. @param {Place} place @param {number} connectMs */
  static async open(place, connectMs) {
    const channel = new Channel(place);
    try {
      channel.limit(connectMs, "the relay did not answer in time");
      await Promise.race([
        new Promise((resolve) => { channel.#opened = () => resolve(null); }),
        channel.ended.then(() => { throw channel.end("ended"); }),
      ]);
      channel.limit(WAIT_MS[place.kind], "no peer came", { quiet: true });
      place.onOpen?.();
      if (place.kind === "link" && !place.guest) channel.#send(new Uint8Array(0)); // a sign for other hosts
      await channel.#handshake();
      return channel;
    } catch (error) {
      const lost = channel.end("the handshake failed");
      throw error instanceof Lost ? error : lost;
    }
  }

  async #handshake() {
    const { key, kind, code, guest } = this.#place;
    const start = () => Handshake.create(key, [VERSION, kind, code].join("\n"));
    const state = await start();
    if (guest) this.#send(await state.writeFirst());
    const message = await this.receive();
    try {
      await (guest ? state.readSecond(message) : state.readFirst(message));
    } catch {
      const other = await start();
      const another = guest && await other.readFirst(message).then(() => true, () => false);
      if (!guest) this.#send(random(HANDSHAKE_SIZE)); // tells the guest that the keys differ
      // The peer closes after its message, so that the connection may have ended with another reason.
      const cause = another ? "another guest uses the link" : "the peer has another key";
      throw Object.assign(new Lost(cause), { another, wrongKey: !another });
    }
    const reply = guest ? null : await state.writeSecond();
    const [first, second] = await state.split();
    [this.#sending, this.#receiving] = guest ? [first, second] : [second, first];
    for (const item of this.#queue) {
      item.message = item.message.then((data) => this.#decrypt(data));
      item.message.catch(() => {});
    }
    if (guest) this.limit();
    if (reply) this.#send(reply);
  }

  /** @param {any} data of a message event */
  #receive(data) {
    if (this.#lost) return;
    const size = data.byteLength;
    if (size === 0 && !this.#count && !this.#hasHostSign) { // the first message of a host
      this.#hasHostSign = true;
      return this.#place.guest ? undefined : void this.end("the peer is another host", { notGuest: true });
    }
    const index = this.#count++;
    // The host does not know its peer before the second message of the peer decrypts. A guest sends no third one before
    // it has the answer.
    const limits = [HANDSHAKE_SIZE, UNAUTHENTICATED.bytes - HANDSHAKE_SIZE];
    const limit = index > 0 && (this.#place.guest || this.#isAuthentic) ? MAX_MESSAGE : limits[index] ?? -1;
    if (!(size <= limit)) return void this.end("the peer sent text or too long a message");
    if (index === 0) this.limit(UNAUTHENTICATED.ms, "the peer did not authenticate itself in time");
    this.#queued += size + OVERHEAD;
    if (this.#queued > 2 * WINDOW) return void this.end("the peer sent more than its window");
    this.lastReceived = now();
    const message = this.#receiving ? this.#decrypt(data) : Promise.resolve(new Uint8Array(data));
    message.catch(() => {});
    this.#queue.push({ size, message });
    this.#wake();
  }

  /** @param {Uint8Array | ArrayBuffer} data */
  async #decrypt(data) {
    try {
      return new Uint8Array(await /** @type {CipherState} */ (this.#receiving).decrypt(data));
    } catch {
      throw this.end("a message does not decrypt");
    }
  }

  /** Return the next message. Messages that arrived before the end of the connection come first. @throws {Lost} */
  async receive() {
    while (!this.#queue.length) {
      if (this.#lost) throw this.#lost;
      await new Promise((resolve) => { this.#wake = () => resolve(null); });
    }
    const { size, message } = /** @type {Queued} */ (this.#queue.shift());
    this.#queued -= size + OVERHEAD;
    const data = await message;
    this.#isAuthentic ||= this.#receiving !== undefined;
    return data;
  }

  /** True if the next message would not wait long. */
  get hasRoom() {
    return !this.#lost && this.#unsent + (this.#socket.bufferedAmount ?? 0) < MAX_UNSENT;
  }

  /**
   * Encrypt and send a message. Encryptions overlap, and the messages keep their order.
   *
   * @param {Uint8Array} plaintext
   */
  send(plaintext) {
    const message = /** @type {CipherState} */ (this.#sending).encrypt(plaintext);
    this.#unsent += plaintext.length;
    this.#sent = this.#sent.then(() => message).then((data) => {
      this.#unsent -= plaintext.length;
      this.#send(data);
      if (this.hasRoom) this.onRoom();
      else this.#poll ??= setTimeout(() => { // WebSocket has no event for it
        this.#poll = undefined;
        this.onRoom();
      }, 4);
    }).catch(() => { this.end("encryption failed"); });
  }

  /** @param {Uint8Array | ArrayBuffer} data */
  #send(data) {
    if (!this.#lost) this.#socket.send(data);
  }

  /**
   * End the connection after a time, instead of the time given before.
   *
   * @param {number} [ms] none by default
   * @param {string} [reason]
   * @param {Partial<Lost>} [details]
   */
  limit(ms, reason = "", details = {}) {
    clearTimeout(this.#timer);
    if (ms !== undefined && !this.#lost) this.#timer = setTimeout(() => this.end(reason, details), ms);
  }

  /** Close after everything is sent. */
  async close() {
    await this.#sent;
    this.end("closed");
  }

  /**
   * End the connection, if it has not ended, and return why it ended.
   *
   * @param {string} reason
   * @param {Partial<Lost>} [details]
   */
  end(reason, details = {}) {
    if (this.#lost) return this.#lost;
    this.#lost = Object.assign(new Lost(reason), details);
    clearTimeout(this.#timer);
    clearTimeout(this.#poll);
    this.#place.signal.removeEventListener("abort", this.#abort);
    this.#socket.close(1000);
    // The package ws waits for a dead relay for 30 s, and keeps Node running meanwhile.
    const timer = /** @type {any} */ (setTimeout(() => this.#socket.terminate?.(), 2000));
    timer.unref?.();
    this.#wake();
    this.#resolveEnded();
    return this.#lost;
  }
}

/**
 * Milliseconds before an attempt.
 *
 * @param {number} failures number of failed attempts in the outage
 * @param {number} outage milliseconds
 */
function backoff(failures, outage) {
  return failures && Math.random() * Math.min(outage < 60_000 ? 1000 : 15_000, 100 * 2 ** failures);
}

/**
 * True if a response would not change. 401 tells a guest that the host does not wait now.
 *
 * @param {number} status
 * @param {boolean} guest
 * @param {boolean} reached true if a WebSocket was open before
 */
function isFinal(status, guest, reached) {
  if (status === 401) return !guest;
  return !reached && status >= 400 && status < 500 && ![408, 409, 425, 429].includes(status);
}

/** Milliseconds for TCP, TLS and the upgrade, which a takeover check delays by 2 s. @param {number} outage */
const connectTime = (outage) => (outage < 60_000 ? 5000 : 15_000);

// Sessions

/** Bytes of a stream from one position to another, in blocks. */
class StreamBuffer {
  /** @type {Uint8Array[]} */ #blocks = [];
  start = 0;
  end = 0;

  /** @param {Uint8Array} data */
  append(data) {
    while (data.length) {
      const offset = this.end % BLOCK;
      if (offset === 0) this.#blocks.push(new Uint8Array(BLOCK));
      const part = data.subarray(0, BLOCK - offset);
      this.#blocks[this.#blocks.length - 1].set(part, offset);
      this.end += part.length;
      data = data.subarray(part.length);
    }
  }

  /**
   * Return bytes from a position, at most to the end of their block, after a prefix.
   *
   * @param {number} position
   * @param {number} end
   * @param {number[]} prefix
   */
  read(position, end, ...prefix) {
    const block = this.#blocks[Math.floor(position / BLOCK) - Math.floor(this.start / BLOCK)];
    const offset = position % BLOCK;
    const part = block.subarray(offset, Math.min(BLOCK, offset + end - position));
    const data = new Uint8Array(prefix.length + part.length);
    data.set(prefix);
    data.set(part, prefix.length);
    return data;
  }

  /** Free everything before a position. @param {number} position */
  discard(position) {
    this.#blocks.splice(0, Math.floor(position / BLOCK) - Math.floor(this.start / BLOCK));
    this.start = position;
  }
}

/** A byte stream in each direction, which survives lost connections. */
export class Session {
  /** Short random name for logs, not a secret. */
  id = encodeBase64(random(4));
  /** Bytes of the peer. Reading acknowledges them; cancelling aborts the session. @type {ReadableStream<Uint8Array>} */
  readable;
  /**
   * Bytes for the peer. A write waits while 4 MiB are not acknowledged. The close ends the stream.
   *
   * @type {WritableStream<Uint8Array | ArrayBuffer | ArrayBufferView>}
   */
  writable;
  /** Fulfilled when both streams have ended and are acknowledged; rejected on failure. @type {Promise<void>} */
  closed;
  /** Fulfilled with this session at its first connection. @internal @type {Promise<Session>} */ connected;
  /** Fulfilled when the session is over, and its peer knows, if possible. @internal @type {Promise<void>} */ finished;

  #place; #options;
  #stop = new AbortController();
  /** @type {Channel | null} */ #channel = null;
  /** @type {Error | null} */ #error = null;
  #over = false;
  /** @type {Uint8Array | null} */ #abortMessage = null;
  #deadline = Infinity;
  /** @type {any} */ #abortTimer;
  /** @type {any} */ #leaveTimer;
  #resolve = () => {};
  /** @type {(error: Error) => void} */ #reject = () => {};
  #resolveConnected = () => {};
  /** @type {any} */ #readController;
  /** @type {any} */ #writeController;
  #wakeReader = () => {};
  #wakeWriter = () => {};

  #out = new StreamBuffer();
  #outEnded = false;
  #next = 0;
  #sent = 0;
  #acked = 0;
  #delivered = 0;
  /** @type {number | undefined} */ #peerWindow;

  #in = new StreamBuffer();
  #inEnded = false;
  #consumed = 0;
  #ackSent = 0;
  #discarding = false;
  /** @type {any} */ #ackTimer;

  #due = { ack: false, ping: false, pong: false };
  #finishedSent = 0;
  #lingering = 0;
  #peerFinished = false;
  #active = now();
  #pingSent = 0;
  #connectedAt = 0;
  /** Time of the first part of the peer's stream since the last message to the peer; 0 for none. */
  #unanswered = 0;

  /** @param {Omit<Place, "signal" | "WebSocket" | "kind">} place @param {Options} options */
  constructor(place, options) {
    this.#options = options;
    const kind = /** @type {const} */ ("session");
    this.#place = { ...place, kind, WebSocket: webSocket(options), signal: this.#stop.signal };
    this.closed = new Promise((resolve, reject) => { [this.#resolve, this.#reject] = [resolve, reject]; });
    this.connected = Promise.race([
      new Promise((resolve) => { this.#resolveConnected = () => resolve(this); }), this.closed.then(() => this)]);
    this.closed.catch(() => {});
    this.connected.catch(() => {});
    this.readable = new ReadableStream({
      start: (controller) => { this.#readController = controller; },
      pull: () => this.#pull(),
      cancel: () => this.abort(),
    }, { highWaterMark: 0 });
    this.writable = new WritableStream({
      start: (controller) => { this.#writeController = controller; },
      write: (chunk) => this.#write(chunk),
      close: () => this.#end(),
      abort: () => this.abort(),
    });
    const onAbort = () => this.#fail(reasonOf(options.signal), REASON.closed, "");
    options.signal?.addEventListener("abort", onAbort);
    this.finished = this.#run().finally(() => options.signal?.removeEventListener("abort", onAbort));
    if (options.signal?.aborted) onAbort();
  }

  /** Bytes that the peer has acknowledged. */
  get bytesSent() { return Math.min(this.#acked, this.#out.end); }
  /** Bytes that the program has consumed. */
  get bytesReceived() { return Math.min(this.#consumed, this.#in.end); }

  /**
   * End the session at once. The peer gets an error with the text.
   *
   * @param {string} [text] at most 200 bytes of UTF-8, for people
   */
  abort(text = "") {
    this.#fail(new EndpointError("the session was aborted"), REASON.closed, text);
  }

  /** End the session after the handler of a host. @internal @param {unknown} [error] failure of the handler */
  leave(error) {
    if (error instanceof TargetError) return this.#fail(error, REASON.target, error.message);
    if (error !== undefined) return this.#fail(/** @type {Error} */ (error), REASON.closed, "the host failed");
    this.#discarding = true;
    this.#discard();
    this.#end();
  }

  // Streams of the program

  /** @param {any} chunk */
  async #write(chunk) {
    let data = bytesOf(chunk);
    if (!data) {
      this.#fail(new TypeError("a chunk is a Uint8Array, another view, or an ArrayBuffer"), REASON.closed, "");
      throw this.#error;
    }
    while (data.length && !this.#error && !this.#outEnded) {
      const room = WINDOW - (this.#out.end - this.#acked);
      if (room > 0) {
        this.#out.append(data.subarray(0, room));
        data = data.subarray(room);
        this.#pump();
      } else {
        await new Promise((resolve) => { this.#wakeWriter = () => resolve(null); });
      }
    }
    if (this.#error) throw this.#error;
    if (data.length) throw new EndpointError("the stream has ended");
  }

  #end() {
    this.#outEnded = true;
    this.#pump();
  }

  async #pull() {
    while (this.#consumed === this.#in.end) {
      if (this.#inEnded || this.#error) return;
      await new Promise((resolve) => { this.#wakeReader = () => resolve(null); });
    }
    if (this.#consumed > this.#in.end) return;
    const data = this.#in.read(this.#consumed, this.#in.end);
    this.#readController.enqueue(data);
    this.#consume(data.length);
  }

  /** @param {number} size */
  #consume(size) {
    this.#consumed += size;
    this.#in.discard(this.#consumed);
    if (this.#inEnded && this.#consumed === this.#in.end) {
      this.#consumed++;
      if (!this.#error) this.#readController.close();
      this.#wakeReader();
    }
    const unacked = this.#consumed - this.#ackSent;
    const due = () => {
      this.#due.ack = true;
      this.#pump();
    };
    if (unacked >= ACK_BYTES || this.#consumed > this.#in.end) due();
    else if (unacked) this.#ackTimer ??= setTimeout(due, ACK_MS);
  }

  #discard() {
    if (this.#discarding && this.#consumed <= this.#in.end) this.#consume(this.#in.end - this.#consumed);
  }

  // One connection

  /** Send everything that is due and has room. */
  #pump() {
    const channel = this.#channel;
    if (!channel || this.#over) return;
    if (this.#abortMessage) {
      channel.send(this.#abortMessage);
      return this.#finish();
    }
    const window = this.#peerWindow ?? 0;
    const limit = Math.min(this.#out.end, this.#acked + window);
    for (; channel.hasRoom; this.#unanswered = 0) {
      if (this.#due.pong) {
        this.#due.pong = false;
        channel.send(Uint8Array.of(PONG));
      } else if (this.#due.ping) {
        this.#due.ping = false;
        channel.send(Uint8Array.of(PING));
      } else if (this.#due.ack) {
        this.#due.ack = false;
        clearTimeout(this.#ackTimer);
        this.#ackTimer = undefined;
        this.#ackSent = this.#consumed;
        channel.send(positionMessage(ACK, this.#consumed));
      } else if (this.#next < limit) {
        const message = this.#out.read(this.#next, limit, DATA);
        this.#next += message.length - 1;
        this.#active = now();
        channel.send(message);
      } else if (this.#outEnded && this.#next === this.#out.end && this.#next < this.#acked + window) {
        this.#next++;
        channel.send(Uint8Array.of(END));
      } else if (this.#acked > this.#out.end && this.#consumed > this.#in.end && !this.#finishedSent) {
        this.#finishedSent = now();
        this.#lingering ||= now();
        channel.send(Uint8Array.of(FINISHED));
        if (this.#peerFinished) return this.#finish();
      } else {
        break;
      }
    }
    this.#sent = Math.max(this.#sent, this.#next);
  }

  #finish() {
    this.#over = true;
    this.#channel?.close();
  }

  /** @param {ReturnType<typeof decode>} message */
  #handle({ type, body, received, reason, text }) {
    const endReceived = this.#consumed > this.#in.end;
    if (type === DATA) {
      require(!this.#inEnded, "DATA follows END");
      require(this.#in.end + body.length - this.#consumed <= WINDOW, "DATA exceeds the window");
      this.#active = now();
      this.#unanswered ||= now();
      this.#in.append(body);
      this.#wakeReader();
      this.#discard();
    } else if (type === END) {
      require(!this.#inEnded, "END follows END");
      this.#inEnded = true;
      this.#unanswered ||= now();
      if (this.#consumed === this.#in.end) this.#consume(0);
    } else if (type === ACK) {
      this.#acknowledge(received);
    } else if (type === PING) {
      this.#due.pong = true;
    } else if (type === FINISHED) {
      require(this.#sent > this.#out.end && endReceived, "FINISHED precedes the end of a stream");
      this.#peerFinished = true;
      if (this.#finishedSent) return this.#finish();
    } else if (type === ABORT) {
      throw new PeerAborted(reason, text);
    } else {
      require(type === PONG, "a message is not allowed in a session");
    }
    this.#pump();
  }

  /** @param {number} position */
  #acknowledge(position) {
    require(position >= this.#acked && position <= this.#sent, "ACK has a position out of range");
    this.#acked = position;
    this.#delivered = Math.max(this.#delivered, position);
    if (this.#discarding && position > this.#out.end) {
      this.#leaveTimer ??= setTimeout(() => this.abort("the program of the peer has ended"), LINGER_MS);
    }
    this.#out.discard(Math.min(position, this.#out.end));
    this.#wakeWriter();
  }

  /** @param {Channel} channel */
  async #converse(channel) {
    const resume = positionMessage(RESUME, this.#in.end + (this.#inEnded ? 1 : 0), WINDOW);
    if (this.#place.guest) channel.send(resume);
    if (this.#place.guest) channel.limit(UNAUTHENTICATED.ms, "the host did not continue the session in time");
    const first = await channel.receive();
    channel.limit();
    if (!this.#place.guest) channel.send(resume);
    this.#finishedSent = this.#pingSent = 0;
    this.#due = { ack: this.#consumed > 0, ping: false, pong: false };
    this.#channel = channel;
    try {
      const { type, received: next, window } = decode(first);
      require(type === RESUME, "a session connection begins with RESUME");
      require(next >= this.#delivered && next <= this.#sent, "RESUME has a position out of range");
      require(window === (this.#peerWindow ?? window), "RESUME has another window");
      this.#next = this.#delivered = next;
      this.#peerWindow = window;
      channel.onRoom = () => this.#pump();
      this.#emit({ type: "Connected", session: this.id });
      this.#connectedAt = now();
      this.#resolveConnected();
      this.#pump();
      for (;;) this.#handle(decode(await channel.receive()));
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      this.#fail(error, REASON.violation, error.message);
      throw error;
    }
  }

  /** Send PING to a silent peer, and end a silent connection. */
  #checkSilence() {
    const channel = this.#channel;
    if (!channel) return;
    const silent = now() - channel.lastReceived;
    if (this.#unanswered && now() - this.#unanswered > REPEAT_ACK_MS) {
      this.#due.ack = true;
      this.#pump();
    }
    if (this.#lingering && now() - this.#lingering > LINGER_MS) this.#finish();
    else if (channel.lastReceived >= this.#pingSent && silent > (now() - this.#active < 30_000 ? 1500 : 15_000)) {
      this.#pingSent = now();
      this.#due.ping = true;
      this.#pump();
    } else if (channel.lastReceived < this.#pingSent && now() - this.#pingSent > 3500) {
      channel.end("the peer is silent");
    }
  }

  // The whole session

  /** @param {EndpointEvent} event */
  #emit(event) { this.#options.onEvent?.(event); }

  /** End the streams of the program. @param {Error} error */
  #settle(error) {
    if (this.#error) return;
    this.#error = error;
    this.#readController.error(error);
    this.#writeController.error(error);
    this.#wakeReader();
    this.#wakeWriter();
    this.#reject(error);
  }

  /**
   * End the session with an error here, and with ABORT for the peer, if it can be told within `ABORT_MS`.
   *
   * @param {Error} error
   * @param {number} reason
   * @param {string} text
   */
  #fail(error, reason, text) {
    if (this.#error || this.#over) return;
    this.#settle(error);
    this.#abortMessage = reasonMessage(ABORT, reason, text);
    this.#deadline = now() + ABORT_MS;
    this.#abortTimer = setTimeout(() => this.#stop.abort(), ABORT_MS);
    this.#pump();
  }

  async #run() {
    let outage = now(), lostAt = now(), failures = 0, timeout = LINGER_MS;
    const ticker = setInterval(() => this.#checkSilence(), 500);
    const resumeTimeout = (this.#options.resumeTimeout ?? 300) * 1000;
    const deadline = () => {
      const end = this.#lingering ? this.#lingering + LINGER_MS : lostAt + Math.min(timeout, resumeTimeout);
      return Math.min(this.#deadline, end);
    };
    /** @type {Error | null} */ let failure = null;
    try {
      while (!this.#over) {
        const expiry = setTimeout(() => this.#stop.abort(), Math.min(deadline() - now(), 2 ** 31 - 1));
        try {
          const channel = await Channel.open(this.#place, connectTime(now() - outage));
          clearTimeout(expiry);
          await this.#converse(channel);
        } catch (error) {
          if (this.#over) break;
          if (!(error instanceof Lost)) throw error;
          if (isFinal(error.status, this.#place.guest, true)) throw new Refused(error.status);
          if (this.#channel) {
            if (now() - this.#connectedAt > STABLE_MS) [failures, outage] = [0, now()];
            [lostAt, timeout] = [now(), Infinity];
            this.#channel = null;
            this.#emit({ type: "Lost", session: this.id, reason: error.message });
          }
          const delay = backoff(failures++, now() - outage);
          if (this.#stop.signal.aborted || now() + delay >= deadline()) {
            if (this.#lingering || this.#error) break;
            throw new ResumeTimeout("the connection was lost, and did not come back in time");
          }
          const reason = error.message;
          if (!error.quiet) this.#emit({ type: "Retrying", session: this.id, reason, delay: delay / 1000 });
          await sleep(delay, this.#stop.signal);
        } finally {
          clearTimeout(expiry);
        }
      }
    } catch (error) {
      failure = /** @type {Error} */ (error);
    }
    clearInterval(ticker);
    clearTimeout(this.#ackTimer);
    clearTimeout(this.#abortTimer);
    clearTimeout(this.#leaveTimer);
    this.#channel?.close();
    this.#over = true;
    if (failure) this.#settle(failure);
    this.#resolve();
    this.#emit({ type: "Ended", session: this.id, error: this.#error });
  }
}

// The link connection

/** @param {Options} options */
function webSocket(options) {
  const constructor = options.WebSocket ?? globalThis.WebSocket;
  if (!constructor) throw new EndpointError("this runtime has no WebSocket: pass that of the package ws as an option");
  return constructor;
}

/** @param {AbortSignal | undefined} signal @returns {Error} */
function reasonOf(signal) {
  return signal?.reason instanceof Error ? signal.reason : new EndpointError("aborted");
}

/** @param {any} chunk */
function bytesOf(chunk) {
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  return chunk instanceof ArrayBuffer ? new Uint8Array(chunk) : null;
}

/**
 * Connect with the link code until `talk` returns a value.
 *
 * @template T
 * @param {Link} link @param {boolean} guest @param {Options & { token?: string }} options
 * @param {(channel: Channel) => Promise<T | undefined>} talk
 * @returns {Promise<T>}
 */
async function withLink(link, guest, options, talk) {
  const signal = options.signal ?? new AbortController().signal;
  const { code, key } = link;
  const kind = /** @type {const} */ ("link");
  const fixed = { link, kind, code, key, guest, token: options.token, WebSocket: webSocket(options) };
  const connectTimeout = (options.connectTimeout ?? 15) * 1000;
  let failures = 0, outage = now(), reached = false, waiting = false;
  for (;;) {
    if (signal.aborted) throw reasonOf(signal);
    let opened = 0;
    const onOpen = () => {
      opened = now();
      reached = true;
      if (!waiting) options.onEvent?.({ type: "Waiting" });
      waiting = true;
    };
    try {
      const place = { ...fixed, signal, onOpen };
      const channel = await Channel.open(place, connectTime(now() - outage));
      try {
        const result = await talk(channel);
        if (result !== undefined) return result;
      } finally {
        await channel.close();
      }
      [failures, outage] = [0, now()];
    } catch (error) {
      if (signal.aborted) throw reasonOf(signal);
      const byPeer = error instanceof ProtocolViolation || (error instanceof Lost && (error.wrongKey || error.another));
      if (error instanceof ProtocolViolation && !guest) error = new Lost(error.message);
      if (!(error instanceof Lost)) throw error;
      if (isFinal(error.status, guest, reached)) throw new Refused(error.status);
      if (error.wrongKey && guest) throw new WrongKey();
      if (!reached && now() - outage > connectTimeout) {
        throw new NoRelay(`no WebSocket to the relay could be opened: ${error.message}`);
      }
      if (opened && now() - opened > STABLE_MS) [failures, outage] = [0, now()];
      else if (opened && byPeer) outage = now(); // no fault of the relay
      let delay, reason = error.message;
      if (error.another || error.status === 409) {
        delay = Math.random() * 1000;
      } else if (error.notGuest && !guest) {
        delay = Math.random() * 15_000;
        reason = "another host may use this link: a peer connected and is no guest";
      } else {
        delay = backoff(failures++, now() - outage);
      }
      if (!error.quiet) options.onEvent?.({ type: "Retrying", session: null, reason, delay: delay / 1000 });
      await sleep(delay, signal);
    }
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
  const parsed = typeof link === "string" ? Link.parse(link) : link;
  const session = await withLink(parsed, true, options, async (channel) => {
    channel.limit(UNAUTHENTICATED.ms, "the host did not answer in time");
    channel.send(Uint8Array.of(REQUEST));
    const { type, body, code, reason, text } = decode(await channel.receive());
    if (type === REFUSED) throw new PeerAborted(reason, text);
    require(type === SESSION, "the host answered REQUEST with another message");
    return new Session({ link: parsed, code, key: body.slice(22), guest: true }, options);
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
  const parsed = typeof link === "string" ? Link.parse(link) : link;
  /** @type {Set<Promise<void>>} */
  const sessions = new Set();
  try {
    await withLink(parsed, false, options, async (channel) => {
      const { type } = decode(await channel.receive());
      channel.limit(UNAUTHENTICATED.ms, "the guest did not move to its session in time");
      require(type === REQUEST, "a guest did not begin with REQUEST");
      if (sessions.size >= (options.maxSessions ?? 100)) {
        channel.send(reasonMessage(REFUSED, REASON.full, "the host serves no further guest"));
      } else {
        const code = encodeBase64(random(16)), key = random(KEY_SIZE);
        channel.send(concat(Uint8Array.of(SESSION), utf8.encode(code), key));
        const session = new Session({ link: parsed, code, key, guest: false, token: options.token }, options);
        session.connected.then(() => handler(session)).then(() => session.leave(), (error) => session.leave(error));
        sessions.add(session.finished);
        session.finished.then(() => sessions.delete(session.finished));
      }
      await channel.ended;
    });
  } catch (error) {
    if (!options.signal?.aborted) throw error;
  } finally {
    await Promise.all(sessions);
  }
}
