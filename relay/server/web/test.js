// The page: run the test as the first side, or answer it as the second side.

const base = `${location.origin}${location.pathname.replace(/test\/?$/, '')}`;
const needsToken = document.body.dataset.token === 'yes';
let isBlocked = false;
document.addEventListener('securitypolicyviolation', () => { isBlocked = true; });

function newCode() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

function relayUrl(code, token) {
  const query = new URLSearchParams({ pair: code, ...(token ? { token } : {}) });
  return `${base.replace('http', 'ws')}?${query}`;
}

const lowered = (title) => title[0].toLowerCase() + title.slice(1);

// Run all steps; return the key of the failed step and the failure, or the skipped steps.
async function runSteps(test) {
  const skipped = [];
  for (const [index, [key, title, run]] of STEPS.entries()) {
    test.view.show(key, 'running');
    const waits = key === 'second' && !test.alone;
    showVerdict('running', waits ? 'Waiting for the second device' : `Testing: ${lowered(title)}`,
      `Step ${index + 1} of ${STEPS.length}`);
    try {
      const detail = await run(test);
      test.view.show(key, detail === undefined ? 'skipped' : 'done', detail);
      if (detail === undefined) skipped.push(lowered(title));
    } catch (error) {
      const failure = rootFailure(test, error);
      test.view.show(key, 'failed', failure.message);
      return { key, title, failure, skipped };
    }
  }
  return { skipped };
}

// Return the failure of the second side, if that side is in this page and the first side only lost its peer.
// Otherwise, return the failure of the first side.
function rootFailure({ a, b }, error) {
  if (!(error instanceof Failure)) return new Failure(`The page failed: ${error.message}`, 'page');
  return a?.closing?.code === 1011 && b?.closing ? b.failure : error;
}

async function runTest(alone) {
  const token = find('token').querySelector('input').value.trim();
  const code = newCode();
  const test = {
    alone,
    view: new View(STEPS),
    invitation: `${base}test#pair=${code}`,
    url: (opens) => relayUrl(code, opens ? token : ''),
    refusalCauses: () => refusalCauses(base, needsToken, isBlocked),
  };
  find('controls').hidden = true;
  const { key, title, failure, skipped } = await runSteps(test);
  test.view.invite(undefined);
  for (const side of [test.a, test.b]) side?.close();
  find('controls').hidden = false;
  find('alone').textContent = 'Test again from this device';
  if (failure) {
    showVerdict('failed', `Failed: ${lowered(title)}`, failure.message, hintFor(key, failure.causes));
  } else {
    showVerdict('passed', skipped.length ? 'Everything that was tested works' : 'Everything works',
      skipped.length ? `Skipped: ${skipped.join(', ')}. Only a silent minute shows the read timeout of a proxy.`
        : 'Your programs can use this relay from this network.');
  }
}

// Act as the second side in the test of another device.
async function answerTest(code) {
  find('controls').hidden = true;
  find('steps').hidden = true;
  showVerdict('running', 'Connecting', 'This is the second device of a test.');
  const side = new Side(relayUrl(code));
  try {
    await opened({ refusalCauses: () => refusalCauses(base, false, isBlocked) }, side);
    showVerdict('running', 'Connected', 'The first device shows the test. Keep this page open, and the screen on.');
    if (await answerRequests(side)) {
      showVerdict('passed', 'The test has passed', 'The way between both devices works. You can close this page.');
    } else {
      showVerdict('failed', 'The test ended early', 'The first device shows the reason.');
    }
  } catch (failure) {
    showVerdict('failed', 'The test did not end', failure.message, hintFor('guest', failure.causes ?? []));
  }
  side.close();
}

function start() {
  find('relay').textContent = base.replace('http', 'ws');
  find('token').hidden = !needsToken;
  const code = new URLSearchParams(location.hash.slice(1)).get('pair');
  if (code) {
    answerTest(code);
    return;
  }
  find('controls').onsubmit = (event) => {
    event.preventDefault();
    runTest(true);
  };
  find('both').onclick = () => runTest(false);
  new View(STEPS);
}

window.onhashchange = () => location.reload();
start();
