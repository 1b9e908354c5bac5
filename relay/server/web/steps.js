// Steps of the test, which the first side runs. Each returns its result as a text, or undefined if it was skipped.

const ROUNDS = 20;
const IDLE = 60;  // seconds

const secondsSince = (start) => (performance.now() - start) / 1000;
const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0ms`;
const rate = (seconds) => `1 MiB in ${seconds.toFixed(2)} s, ${(SIZE / 1e6 / seconds).toFixed(1)} MB/s, same hash`;
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const check = (isTrue, message) => { if (!isTrue) throw new Failure(message, 'changed'); };

// Connect, and return the side when the relay has accepted it.
async function connect(code, token) {
  const query = new URLSearchParams(token ? { pair: code, token } : { pair: code });
  const side = new Side(`${base.replace('http', 'ws')}?${query}`);
  try {
    await side.until(() => side.isOpen, 'response');
    return side;
  } catch (failure) {
    side.socket.close(1000);
    if (!side.closing) throw failure;
    throw new Failure('The relay, or a proxy, refused the connection.', ...await refusalCauses());
  }
}

// Send a small message and wait for its answer; return the milliseconds.
async function roundTrip({ a }, id) {
  const start = performance.now();
  a.send('echo', { id });
  check((await a.answer('echo')).id === id, 'The answer is not that of the message.');
  return performance.now() - start;
}

const STEPS = {
  async first(test) {
    const start = performance.now();
    test.a = await connect(test.code, test.token);
    test.a.send('echo', { id: 'early' });  // the relay holds it until the second side has joined
    return milliseconds(performance.now() - start);
  },
  async second(test) {
    const start = performance.now();
    if (test.isAlone) {
      test.b = await connect(test.code);
      answerRequests(test.b).then(() => test.b.socket.close(1000), () => {});  // the first side notices a failure
    } else {
      showInvitation(`${base}test#pair=${test.code}`);
    }
    await test.a.answer('joined', test.isAlone ? TIMEOUT : 86400);  // the relay ends the wait after pair_ttl
    showInvitation(undefined);
    return test.isAlone ? milliseconds(performance.now() - start) : 'The second device has joined.';
  },
  async early({ a }) {
    const { id, order } = await a.answer('echo');
    check(id === 'early' && order === 1, 'It did not arrive first.');
    return 'Sent before the second side was there, and arrived first.';
  },
  async times(test) {
    const times = [];
    while (times.length < ROUNDS) {
      times.push(await roundTrip(test, times.length));
      showChart(times, ROUNDS);
    }
    const [half, least, most] = [median(times), Math.min(...times), Math.max(...times)].map(milliseconds);
    return `median ${half}, from ${least} to ${most}`;
  },
  async up(test) {
    const message = new Uint8Array(SIZE), limit = 65536;  // of one call, for bytes that no proxy can compress
    for (let start = 0; start < SIZE; start += limit) crypto.getRandomValues(message.subarray(start, start + limit));
    test.hash = hash(message);
    const start = performance.now();
    test.a.socket.send(message);
    const found = await test.a.answer('received', 4 * TIMEOUT);
    check(found.hash === test.hash, 'The message arrived with other content.');
    return rate(secondsSince(start));
  },
  async down(test) {
    const start = performance.now();
    test.a.send('send');  // asks for the same message
    const message = await test.a.receive('answer', 4 * TIMEOUT), seconds = secondsSince(start);
    check(hash(message) === test.hash, 'The message arrived with other content.');
    return rate(seconds);
  },
  async idle(test) {
    const { a } = test, start = performance.now();
    let isSkipped = false;
    find('skip').onclick = () => { isSkipped = true; a.wake(); };
    for (let passed = 0; passed < IDLE; passed = secondsSince(start)) {
      find('countdown').firstChild.value = passed;
      showStep('idle', 'running', `${Math.ceil(IDLE - passed)} s to go without data`);
      await a.change(Math.min(1, IDLE - passed));
      if (isSkipped) return undefined;
      if (!a.closing) continue;
      const { message, causes } = a.failure, seconds = Math.round(secondsSince(start));
      throw new Failure(`${message.slice(0, -1)} after ${seconds} seconds without data.`, ...causes);
    }
    return `silent for ${IDLE} s, then a round trip in ${milliseconds(await roundTrip(test, 'idle'))}`;
  },
  async end({ a }) {
    a.send('end', { passed: true });
    await a.until(() => a.closing, 'close frame');
    if (a.closing.reason !== 'peer disconnected' || a.closing.code !== 1000) throw a.failure;
    return '1000 “peer disconnected”, as the other side has left';
  },
};
