// One side of the pair: a WebSocket and a queue of received messages. Also the answers of the second side.

const SIZE = 1024 * 1024;  // bytes of a large message
const TIMEOUT = 15;  // seconds for a step
const MAX_REQUESTS = 64;  // a limit, because any client that knows the code could be the first side

class Failure extends Error {
  // causes: keys of HINTS, the most specific first
  constructor(message, ...causes) {
    super(message);
    this.causes = causes;
  }
}

class Side {
  constructor(url) {
    this.messages = [];
    this.opened = false;
    this.closing = undefined;  // the close event, once the connection has ended
    this.wake = () => {};
    this.socket = new WebSocket(url);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onopen = () => { this.opened = true; this.wake(); };
    this.socket.onclose = (event) => { this.closing = event; this.wake(); };
    this.socket.onmessage = ({ data }) => { this.messages.push(new Uint8Array(data)); this.wake(); };
  }

  get failure() {
    const { code, reason } = this.closing;
    const cause = `closed ${code}`;
    const text = code === 1006 ? 'ended without a close frame (1006)' : `was closed with ${code} ${reason}`;
    return new Failure(`The connection ${text.trim()}.`, `${cause} ${reason}`, cause, 'closed');
  }

  // Wait until the connection opens, ends or receives a message, for at most a number of seconds.
  change(seconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.wake = () => { clearTimeout(timer); resolve(); };
    });
  }

  // Wait until a condition is true; throw a Failure if the connection ends first or the time runs out.
  async until(isTrue, what, seconds = TIMEOUT) {
    const end = performance.now() + seconds * 1000;
    while (!isTrue()) {
      if (this.closing) throw this.failure;
      const rest = (end - performance.now()) / 1000;
      if (rest <= 0) throw new Failure(`No ${what} within ${seconds} seconds.`, `no ${what}`, 'timeout');
      await this.change(rest);
    }
  }

  async receive(what, seconds) {
    await this.until(() => this.messages.length > 0, what, seconds);
    return this.messages.shift();
  }

  // Receive a message from the other side; throw a Failure if it is not an answer of the expected type.
  async answer(type, what, seconds) {
    const found = parse(await this.receive(what, seconds));
    if (found?.type !== type) throw new Failure(`Another message came in place of the ${what}.`, 'changed');
    return found;
  }

  // Requests and answers are binary messages, because the relay drops text messages.
  send(type, values) {
    this.socket.send(new TextEncoder().encode(JSON.stringify({ type, ...values })));
  }

  close() {
    this.socket.close(1000);
  }
}

// Return the request or the answer in a message, or undefined if the message is large or is not JSON.
function parse(message) {
  try {
    return message.length < 1000 ? JSON.parse(new TextDecoder().decode(message)) : undefined;
  } catch {
    return undefined;
  }
}

// Return a large message of random bytes, which no proxy can compress.
function randomMessage() {
  const message = new Uint8Array(SIZE);
  for (let start = 0; start < SIZE; start += 65536) {
    crypto.getRandomValues(message.subarray(start, start + 65536));  // the limit of one call
  }
  return message;
}

// Return the FNV-1a hash of a message, which detects errors but not attacks. Browsers do not offer SHA-256 to a
// page that was loaded without TLS.
function hash(message) {
  let value = 0x811c9dc5;
  for (const byte of message) value = Math.imul(value ^ byte, 0x01000193);
  return (value >>> 0).toString(16).padStart(8, '0');
}

// Answer the requests of the first side until it ends the test. Return true if it reports that the test passed.
async function answerRequests(side) {
  let sent = false;
  side.send('joined');
  for (let order = 1; order <= MAX_REQUESTS; order++) {
    const message = await side.receive('message', order === 1 ? TIMEOUT : 600);
    const request = parse(message) ?? {};
    if (message.length === SIZE) side.send('received', { hash: hash(message) });
    else if (request.type === 'echo') side.send('echo', { order, id: request.id });
    else if (request.type === 'send' && !sent) {
      sent = true;
      const answer = randomMessage();
      side.send('sent', { hash: hash(answer) });
      side.socket.send(answer);
    } else if (request.type === 'end') {
      side.close();
      return request.passed === true;
    }
  }
  side.close();
  return false;
}
