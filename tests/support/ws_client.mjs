// A WebSocket client on Node's ws that says and does what its parent process tells it.
//
// Both speak in packets: a letter, the length of what follows (four bytes, the highest first), and
// that. Arguments: the directory ws is installed in, the URL, and the subprotocols to offer.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const [directory, url, ...protocols] = process.argv.slice(2);
const { WebSocket } = createRequire(join(directory, 'index.js'))('ws');

function tell(letter, payload) {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload));
  const header = Buffer.alloc(5);
  header.write(letter);
  header.writeUInt32BE(body.length, 1);
  process.stdout.write(header);
  process.stdout.write(body);
}

const socket = new WebSocket(url, protocols, { maxPayload: 0 });
socket.on('open', () => tell('O', socket.protocol));
socket.on('unexpected-response', (_request, response) => {
  tell('R', response.statusCode);
  response.resume();
  process.stdin.destroy();
});
socket.on('message', (data, isBinary) => tell(isBinary ? 'B' : 'T', data));
socket.on('pong', (data) => tell('P', data));
socket.on('close', (code, reason) => tell('C', [code, reason.toString()]));
socket.on('error', (error) => tell('E', error.message));

const actions = {
  T: (body) => socket.send(body, { binary: false }),
  B: (body) => socket.send(body, { binary: true }),
  F: (body) => socket.send(body, { binary: true, fin: false }),
  P: (body) => socket.ping(body),
  C: (body) => socket.close(...JSON.parse(body)),
};

let parts = [];
let size = 0;

function take(count) {
  const whole = Buffer.concat(parts);
  parts = [whole.subarray(count)];
  size -= count;
  return whole.subarray(0, count);
}

let wanted = null;
for await (const part of process.stdin) {
  parts.push(part);
  size += part.length;
  for (;;) {
    if (wanted === null && size >= 5) {
      const header = take(5);
      wanted = { letter: header.toString('latin1', 0, 1), length: header.readUInt32BE(1) };
    }
    if (wanted === null || size < wanted.length) break;
    actions[wanted.letter](take(wanted.length));
    wanted = null;
  }
}
socket.terminate();
