// Hints for failures: the probable cause, and what to do.

const READ_TIMEOUT = ['A proxy or a firewall closes idle connections too early.',
  'Raise the read timeout of the proxy above 60 seconds, or lower ping_interval of the relay.'];
const LOST_PEER = ['The relay lost the connection of the other side.', 'Keep both devices awake, and test again.'];
const CHANGED = ['A proxy changes messages or holds them back, or the server is not an arc-relay.',
  'Run arc-relay probe from another machine, and look at the proxies in between.'];
const RESTART = 'Start the test on the first device again, and scan the new code.';
const RAISE = 'Raise this setting of the relay if your programs need more.';
const LATER = 'Test again in a minute.';
const BROWSER = 'Update the browser, or test with another one.';

// The first cause with an entry gives the hint. Its entry for the step (`step: cause`) takes precedence.
const HINTS = {
  'first: token': ['The token is wrong; or a proxy does not pass on the upgrade or the query.',
    'Enter the token of the relay again. A browser hides the reason: the log of the relay has it.'],
  'first: refused': ['A proxy does not pass on the upgrade, or a limit of the relay refuses this client.',
    'Let the proxy pass on Upgrade, Connection and Host over HTTP/1.1. The log of the relay has the reason.'],
  'second: refused': ['A limit of the relay for each client, or another relay behind the same address.',
    'See max_connections_per_client and max_connects_per_minute. Behind a proxy, set trusted_proxies.'],
  'second: no answer': ['Both connections reached different relays; or a proxy holds messages back.',
    'Let the balancer choose the relay by a hash of the parameter pair, and turn off the buffering of the proxy.'],
  'second: closed 1001 pair expired': ['No second device joined in time.', RESTART],
  'guest: refused': ['The first device no longer waits, or the pair is full.', RESTART],
  'guest: no message': ['The first device has ended its test; or both devices reached different relays.',
    'Start again. If this repeats, a balancer must choose the relay by a hash of the parameter pair.'],
  'guest: closed 1000 peer disconnected': ['The first device has ended the test, and shows the reason.', RESTART],
  'guest: closed 1011 peer disconnected': ['The connection of the first device failed.', RESTART],
  'early: no answer': CHANGED,
  'up: closed 1006': ['A proxy limits the size of a request or the traffic.', 'Raise the limit of the proxy.'],
  'idle: closed 1006': READ_TIMEOUT,
  'idle: closed 1011 peer disconnected': READ_TIMEOUT,
  'idle: closed 1000 peer disconnected': READ_TIMEOUT,
  'idle: no answer': ['A NAT or a firewall dropped the idle connection.', 'Lower ping_interval of the relay.'],
  'end: no close frame': ['A proxy holds close frames back.', 'Look at the proxies in between.'],
  'blocked': ['The policy of this page does not let this browser open WebSockets.', BROWSER],
  'draining': ['The relay is stopping or restarting.', LATER],
  'full': ['The relay has reached max_connections.', RAISE],
  'offline': ['This device lost its network, or the relay or its proxy is down.', 'Load this page again.'],
  'page': ['A fault of this page, or a browser that is too old.', BROWSER],
  'changed': CHANGED,
  'closed 1001 relay stopping': ['The relay was stopped or restarted just now.', LATER],
  'closed 1002': CHANGED,
  'closed 1008 pair lasted too long': ['max_pair_seconds of the relay is shorter than this test.', RAISE],
  'closed 1008 pair sent too much': ['max_pair_bytes of the relay is below the 2 MiB of this test.', RAISE],
  'closed 1009 message too big': ['max_message_size of the relay is below 1 MiB.', RAISE],
  'closed 1009': ['A proxy has a limit for the size of a WebSocket message.', 'Raise the limit of the proxy.'],
  'closed 1011 keepalive timeout': ['This device, or a proxy, did not answer pings.', 'Keep the device awake.'],
  'closed 1012': ['The proxy was restarted or reloaded just now.', LATER],
  'closed 1000 peer disconnected': LOST_PEER,
  'closed 1011 peer disconnected': LOST_PEER,
  'closed 1006': ['A proxy or the relay closed the connection, or this device changed its network.',
    'Look at the logs of the proxy and of the relay, and test again.'],
  'timeout': ['A proxy holds messages back, or the network is very slow.',
    'Turn off the buffering of the proxy, or test in another network.'],
};

function hintFor(step, causes) {
  const keys = causes.flatMap((cause) => [`${step}: ${cause}`, cause]);
  return HINTS[keys.find((key) => key in HINTS)] ?? HINTS['closed 1006'];
}

// Return the possible causes of a refused upgrade. A browser hides the status of the refusal from the page, but
// lets the page request the health of the relay.
async function refusalCauses() {
  if (isBlocked) return ['blocked'];
  try {
    const response = await fetch(`${base}ready`, { cache: 'no-store', signal: AbortSignal.timeout(5000) });
    const health = await response.json();
    if (health.draining) return ['draining'];
    if (health.full) return ['full'];
  } catch (error) {
    // A proxy may not pass on /ready, and its own response is then not JSON.
    if (error instanceof TypeError || error.name === 'TimeoutError') return ['offline'];
  }
  return find('token').hidden ? ['refused'] : ['token', 'refused'];
}
