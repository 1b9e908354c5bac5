// One side of the pair: a WebSocket and a queue of received messages. Also the answers of the second side.

const SIZE = 1024 * 1024;  // bytes of a large message
const TIMEOUT = 15;  // seconds for a step
const MAX_REQUESTS = 32;  // a limit, because any client that knows the code could be the first side

// A step failed. The causes are keys of HINTS, the most specific first.
class Failure extends Error {
  constructor(message, ...causes) {
    super(message);
    this.causes = causes;
  }
}

class Side {
  messages = [];
  isOpen = false;
  closing;  // the close event, once the connection has ended
  wake() {}

  constructor(url) {
    this.socket = new WebSocket(url);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onopen = () => { this.isOpen = true; this.wake(); };
    this.socket.onclose = (event) => { this.closing = event; this.wake(); };
    this.socket.onmessage = ({ data }) => { this.messages.push(new Uint8Array(data)); this.wake(); };
  }

  get failure() {
    const { code, reason } = this.closing, cause = `closed ${code}`;
    const text = code === 1006 ? 'ended without a close frame (1006)' : `was closed with ${code} ${reason}`.trim();
    return new Failure(`The connection ${text}.`, `${cause} ${reason}`, cause);
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

  async receive(what = 'answer', seconds = TIMEOUT) {
    await this.until(() => this.messages.length > 0, what, seconds);
    return this.messages.shift();
  }

  // Receive a message from the other side; throw a Failure if it is not an answer of the expected type.
  async answer(type, seconds) {
    const found = parse(await this.receive('answer', seconds));
    if (found.type === type) return found;
    throw new Failure('Another message came in place of the answer.', 'changed');
  }

  // Requests and answers are binary messages, because the relay drops text messages.
  send(type, values) { this.socket.send(new TextEncoder().encode(JSON.stringify({ type, ...values }))); }
}

// Return the request or the answer in a message. It has no fields if the message is large or is not JSON.
function parse(message) {
  try {
    return message.length < 1000 ? JSON.parse(new TextDecoder().decode(message)) ?? {} : {};
  } catch {
    return {};
  }
}

// Return the FNV-1a hash of a message, which detects errors but not attacks. Browsers do not offer SHA-256 to a
// page that was loaded without TLS.
const hash = (message) => message.reduce((value, byte) => Math.imul(value ^ byte, 0x01000193), 0x811c9dc5);

// Answer the messages of the first side until it ends the test. Return true if it reports that the test passed.
async function answerRequests(side) {
  let large;
  side.send('joined');
  for (let order = 1; order <= MAX_REQUESTS; order++) {
    const message = await side.receive('message', order === 1 ? TIMEOUT : 600), { type, id, passed } = parse(message);
    if (type === 'end') return passed === true;
    if (type === 'echo') side.send('echo', { order, id });
    if (type === 'send' && large) side.socket.send(large);
    if (message.length !== SIZE) continue;
    large = message;
    side.send('received', { hash: hash(large) });
  }
  return false;
}
