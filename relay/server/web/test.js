// The page: run the test as the first side, or answer it as the second side.

const base = `${location.origin}${location.pathname.replace(/test\/?$/, '')}`;
const find = (id) => document.getElementById(id);
let isBlocked = false;
document.addEventListener('securitypolicyviolation', () => { isBlocked = true; });

// Return a new element; children are elements or texts.
function element(name, attributes = {}, ...children) {
  const isSvg = ['svg', 'path', 'rect', 'line'].includes(name);
  const made = document.createElementNS(`http://www.w3.org/${isSvg ? '2000/svg' : '1999/xhtml'}`, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const STATES = {
  pending: ['·', 'not yet'], running: ['→', 'running'], done: ['✓', 'works'],
  failed: ['✕', 'failed'], skipped: ['–', 'skipped'],
};

// Show the state of a step, and its result.
function showStep(key, title, state, detail = '') {
  const [mark, text] = STATES[state], extra = find(key)?.querySelector('.extra');
  const row = element('li', { id: key, class: state },
    element('span', { class: 'mark', 'aria-hidden': 'true' }, mark), element('h3', {}, title),
    element('span', { class: 'state' }, text), element('p', { class: 'detail' }, detail),
    key === 'times' && extra || element('div', { class: 'extra' }));
  if (find(key)) find(key).replaceWith(row);
  else find('steps').append(row);
}

// Show the round trips as bars, and their median as a line.
function showChart(times, count) {
  const width = 400, height = 56, most = Math.max(...times, 1), half = median(times), step = width / count;
  const y = (time) => height - (height - 2) * time / most;
  const label = `${times.length} round trips, median ${milliseconds(half)}, at most ${milliseconds(most)}`;
  find('times').querySelector('.extra').replaceChildren(
    element('svg', { class: 'chart', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label },
      ...times.map((time, index) => element('rect',
        { x: index * step + 1, y: y(time), width: step - 3, height: height - y(time), rx: 1.5 })),
      element('line', { x1: 0, x2: width, y1: y(half), y2: y(half) })),
    element('p', { class: 'caption' }, `The highest bar is ${milliseconds(most)}, and the dashed line is the median.`));
}

// Show the remaining time of the idle step. Return true if its button was clicked.
function showCountdown(seconds, passed, wake) {
  const extra = find('idle').querySelector('.extra');
  if (!extra.firstChild) {
    const button = element('button', { id: 'skip', type: 'button' }, 'Skip');
    button.onclick = () => { button.disabled = true; wake(); };
    extra.append(element('progress', { max: seconds, 'aria-label': 'idle time' }), button);
  }
  extra.firstChild.value = passed;
  find('idle').querySelector('.detail').textContent = `${Math.ceil(seconds - passed)} s to go without data`;
  return extra.lastChild.disabled;
}

// Show the link and the QR code for the second device, or hide them.
function showInvitation(link) {
  find('invitation').hidden = !link;
  if (!link) return;
  const rows = qrCode(link), size = rows.length + 8;  // the margin has four modules
  const d = rows.flatMap((row, y) => row.map((dark, x) => dark ? `M${x + 4} ${y + 4}h1v1h-1z` : '')).join('');
  find('code').replaceChildren(element('svg',
    { viewBox: `0 0 ${size} ${size}`, role: 'img', 'aria-label': 'QR code of the link' },
    element('rect', { width: size, height: size, fill: '#fff' }),
    element('path', { d, fill: '#000', 'shape-rendering': 'crispEdges' })));
  find('code').hidden = rows.length === 0;
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
  for (const [index, [key, title, run]] of STEPS.entries()) {
    showStep(key, title, 'running');
    const name = title[0].toLowerCase() + title.slice(1), isWaiting = key === 'second' && !test.isAlone;
    showVerdict('running', isWaiting ? 'Waiting for the second device' : `Testing: ${name}`,
      `Step ${index + 1} of ${STEPS.length}`);
    try {
      const detail = await run(test);
      showStep(key, title, detail ? 'done' : 'skipped', detail);
      if (!detail) skipped.push(name);
    } catch (error) {
      const { a, b } = test, isFailure = error instanceof Failure;
      // If the second side is in this page, and the first side has only lost its peer, the second has the cause.
      const failure = !isFailure ? new Failure(`The page failed: ${error.message}`, 'page')
        : a?.closing?.code === 1011 && b?.closing ? b.failure : error;
      showStep(key, title, 'failed', failure.message);
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
  for (const [key, title] of STEPS) showStep(key, title, 'pending');
  find('times').querySelector('.extra').replaceChildren();
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

// Be the second side of another device's test.
async function answerTest(code) {
  find('controls').hidden = find('steps').hidden = true;
  showVerdict('running', 'Connecting', 'This is the second device of a test.');
  try {
    const side = await connect(code);
    showVerdict('running', 'Connected', 'The first device shows the test. Keep this page open, and the screen on.');
    const hasPassed = await answerRequests(side);
    side.socket.close(1000);
    if (!hasPassed) showVerdict('failed', 'The test ended early', 'The first device shows the reason.');
    else showVerdict('passed', 'The test has passed', 'The way between both devices works. You can close this page.');
  } catch (failure) {
    showVerdict('failed', 'The test did not end', failure.message, hintFor('guest', failure.causes ?? ['page']));
  }
}

const invitedBy = new URLSearchParams(location.hash.slice(1)).get('pair');
find('relay').textContent = base.replace('http', 'ws');
find('token').hidden = document.body.dataset.token !== 'yes';
find('controls').onsubmit = (event) => { event.preventDefault(); runTest(true); };
find('both').onclick = () => runTest(false);
window.onhashchange = () => location.reload();
for (const [key, title] of STEPS) showStep(key, title, 'pending');
if (invitedBy) answerTest(invitedBy);
