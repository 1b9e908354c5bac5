// The page: run the test as the first side, or answer it as the second side.

const base = `${location.origin}${location.pathname.replace(/test\/?$/, '')}`;
const find = (id) => document.getElementById(id);
let isBlocked = false;
document.addEventListener('securitypolicyviolation', () => { isBlocked = true; });

const STATES = { pending: 'not yet', running: 'running', done: 'works', failed: 'failed', skipped: 'skipped' };

// Show the state of a step, and its result as text.
function showStep(key, state, detail = '') {
  const [, text, result] = find(key).children;
  find(key).className = state;
  [text.textContent, result.textContent] = [STATES[state], detail];
  find('countdown').hidden = find('idle').className !== 'running';
}

// Show the round trips as bars, and their median as a line.
function showChart(times, count) {
  const [width, height] = [400, 56], most = Math.max(...times, 1), half = median(times), step = width / count;
  const y = (time) => height - (height - 2) * time / most;
  const shape = (name, attributes) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const [chart, caption] = find('chart').children;
  chart.replaceChildren(
    ...times.map((time, index) => shape('rect',
      { x: index * step + 1, y: y(time), width: step - 3, height: height - y(time), rx: 1.5 })),
    shape('line', { x1: 0, x2: width, y1: y(half), y2: y(half) }));
  chart.setAttribute('aria-label', `${times.length} round trips, median ${milliseconds(half)}`);
  caption.textContent = `The highest bar is ${milliseconds(most)}, and the dashed line is the median.`;
  find('chart').hidden = false;
}

// Show the link and the QR code for the second device, or hide them.
function showInvitation(link) {
  find('invitation').hidden = !link;
  if (!link) return;
  const rows = qrCode(link), size = rows.length + 8;  // a margin of four modules on each side
  const path = rows.flatMap((row, y) => row.map((dark, x) => dark ? `M${x + 4} ${y + 4}h1v1h-1z` : '')).join('');
  find('code').hidden = rows.length === 0;
  find('code').querySelector('svg').setAttribute('viewBox', `0 0 ${size} ${size}`);
  find('code').querySelector('path').setAttribute('d', path);
  find('link').href = find('link').textContent = link;
  find('local').hidden = !/^(localhost|127\..*|\[::1\])$/.test(location.hostname);
}

// Show the verdict: a state, a headline, a sentence, and a hint if a step failed.
function showVerdict(state, title, summary, [cause, action] = []) {
  find('verdict').className = state;
  find('advice').hidden = !cause;
  Object.entries({ title, summary, cause, action }).forEach(([id, text]) => { find(id).textContent = text ?? ''; });
}

// Run all steps. Return the titles of the skipped ones, or the failed step with its failure.
async function runSteps(test) {
  const skipped = [];
  for (const [index, [key, run]] of Object.entries(STEPS).entries()) {
    const title = find(key).querySelector('h3').textContent, name = title[0].toLowerCase() + title.slice(1);
    const isWaiting = key === 'second' && !test.isAlone;
    showStep(key, 'running');
    showVerdict('running', isWaiting ? 'Waiting for the second device' : `Testing: ${name}`, `Step ${index + 1} of 8`);
    try {
      const detail = await run(test);
      showStep(key, detail ? 'done' : 'skipped', detail);
      if (!detail) skipped.push(name);
    } catch (error) {
      const { a, b } = test, isFailure = error instanceof Failure;
      // If the second side is in this page, and the first side has only lost its peer, the second has the cause.
      const failure = !isFailure ? new Failure(`The page failed: ${error.message}`, 'page')
        : a?.closing?.code === 1011 && b?.closing ? b.failure : error;
      showStep(key, 'failed', failure.message);
      return { key, name, failure, skipped };
    }
  }
  return { skipped };
}

async function runTest(isAlone) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const code = btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
  const test = { isAlone, code, token: find('token').querySelector('input').value.trim() };
  find('controls').hidden = true;
  for (const key of Object.keys(STEPS)) showStep(key, 'pending');
  find('chart').hidden = true;
  const { key, name, failure, skipped } = await runSteps(test);
  showInvitation(undefined);
  for (const side of [test.a, test.b]) side?.socket.close(1000);
  find('controls').hidden = false;
  find('alone').textContent = 'Test again from this device';
  if (failure) showVerdict('failed', `Failed: ${name}`, failure.message, hintFor(key, failure.causes));
  else showVerdict('passed', skipped.length ? 'Everything that was tested works' : 'Everything works',
    skipped.length ? `Skipped: ${skipped.join(', ')}. Only a silent minute shows the read timeout of a proxy.`
      : 'Your programs can use this relay from this network.');
}

// Act as the second side in the test of another device.
async function answerTest(code) {
  find('controls').hidden = find('steps').hidden = true;
  showVerdict('running', 'Connecting', 'This is the second device of a test.');
  let side;
  try {
    side = await connect(code);
    showVerdict('running', 'Connected', 'The first device shows the test. Keep this page open, and the screen on.');
    const hasPassed = await answerRequests(side);
    if (!hasPassed) showVerdict('failed', 'The test ended early', 'The first device shows the reason.');
    else showVerdict('passed', 'The test has passed', 'The way between both devices works. You can close this page.');
  } catch (failure) {
    showVerdict('failed', 'The test did not end', failure.message, hintFor('guest', failure.causes ?? ['page']));
  }
  side?.socket.close(1000);
}

const invitedBy = new URLSearchParams(location.hash.slice(1)).get('pair');
find('relay').textContent = base.replace('http', 'ws');
find('token').hidden = document.body.dataset.token !== 'yes';
find('controls').onsubmit = (event) => { event.preventDefault(); runTest(true); };
find('both').onclick = () => runTest(false);
window.onhashchange = () => location.reload();
for (const key of Object.keys(STEPS)) showStep(key, 'pending');
if (invitedBy) answerTest(invitedBy);
