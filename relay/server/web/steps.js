// Steps of the test, which the first side runs. Each returns its result as a text, or undefined if it was skipped.

const ROUNDS = 20;
const IDLE = 60;  // seconds

const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0ms`;
const rate = (seconds) => `1 MiB in ${seconds.toFixed(2)} s, ${(SIZE / 1e6 / seconds).toFixed(1)} MB/s, same hash`;
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

// Send a small message and wait for its answer. Return the milliseconds, and the number of messages that the
// second side had then received.
async function roundTrip({ a }, id) {
  const start = performance.now();
  a.send('echo', { id });
  const answer = await a.answer('echo', 'answer');
  if (answer.id !== id) throw new Failure('The answer is not that of the message.', 'changed');
  return { time: performance.now() - start, order: answer.order };
}

async function connectFirst(test) {
  const start = performance.now();
  test.a = new Side(test.url(true));
  await opened(test, test.a);
  test.a.send('echo', { id: 'early' });  // the relay holds it until the second side has joined
  return milliseconds(performance.now() - start);
}

async function connectSecond(test) {
  const start = performance.now();
  if (test.alone) {
    test.b = new Side(test.url(false));
    await opened(test, test.b);
    answerRequests(test.b).catch(() => {});  // the first side notices the failure, and reports it
    await test.a.answer('joined', 'answer');
    return milliseconds(performance.now() - start);
  }
  test.view.invite(test.invitation);
  await test.a.answer('joined', 'answer', 86400);  // the relay ends the wait after pair_ttl
  test.view.invite(undefined);
  return 'The second device has joined.';
}

async function opened(test, side) {
  try {
    await side.until(() => side.opened, 'response');
  } catch (failure) {
    if (!side.closing) throw failure;
    throw new Failure('The relay, or a proxy, refused the connection.', ...await test.refusalCauses());
  }
}

async function checkEarly({ a }) {
  const answer = await a.answer('echo', 'answer');
  if (answer.id !== 'early' || answer.order !== 1) throw new Failure('It did not arrive first.', 'changed');
  return 'Sent before the second side was there, and arrived first.';
}

async function measureRoundTrips(test) {
  const times = [];
  for (let round = 0; round < ROUNDS; round++) {
    times.push((await roundTrip(test, round)).time);
    test.view.chart(times, ROUNDS);
  }
  return `median ${milliseconds(median(times))}, from ${milliseconds(Math.min(...times))} to`
    + ` ${milliseconds(Math.max(...times))}`;
}

async function sendLarge({ a }) {
  const message = randomMessage();
  const expected = hash(message), start = performance.now();
  a.socket.send(message);
  const { hash: found } = await a.answer('received', 'answer', 4 * TIMEOUT);
  const seconds = (performance.now() - start) / 1000;
  if (found !== expected) throw new Failure('The message arrived with other content.', 'changed');
  return rate(seconds);
}

async function receiveLarge({ a }) {
  const start = performance.now();
  a.send('send');
  const { hash: expected } = await a.answer('sent', 'answer');
  const message = await a.receive('answer', 4 * TIMEOUT);
  const seconds = (performance.now() - start) / 1000;
  if (message.length !== SIZE || hash(message) !== expected) {
    throw new Failure('The message arrived with other content.', 'changed');
  }
  return rate(seconds);
}

async function stayIdle(test) {
  const start = performance.now();
  const passed = () => (performance.now() - start) / 1000;
  const skip = test.view.countdown(IDLE, () => test.a.wake());
  while (passed() < IDLE && !skip.clicked) {
    skip.show(IDLE - passed());
    await test.a.change(Math.min(1, IDLE - passed()));
    if (test.a.closing) {
      const { message, causes } = test.a.failure;
      throw new Failure(`${message.slice(0, -1)} after ${Math.round(passed())} seconds without data.`, ...causes);
    }
  }
  if (skip.clicked) return undefined;
  return `silent for ${IDLE} s, then a round trip in ${milliseconds((await roundTrip(test, 'idle')).time)}`;
}

async function endPair({ a }) {
  a.send('end', { passed: true });
  await a.until(() => a.closing, 'close frame');
  const { code, reason } = a.closing;
  if (code !== 1000 || reason !== 'peer disconnected') throw a.failure;
  return '1000 “peer disconnected”, as the other side has left';
}

const STEPS = [
  ['first', 'First upgrade', connectFirst],
  ['second', 'Second upgrade', connectSecond],
  ['early', 'Early data', checkEarly],
  ['times', 'Round trips', measureRoundTrips],
  ['up', '1 MiB sent', sendLarge],
  ['down', '1 MiB received', receiveLarge],
  ['idle', 'An idle minute', stayIdle],
  ['end', 'Close code', endPair],
];
