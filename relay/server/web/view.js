// Elements of the page.

const find = (id) => document.getElementById(id);

// Return a new element; its children are elements or strings.
function element(name, attributes = {}, ...children) {
  const isSvg = ['svg', 'path', 'rect', 'line'].includes(name);
  const made = isSvg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const STATES = {
  pending: ['·', 'not yet'], running: ['→', 'running'], done: ['✓', 'works'],
  failed: ['✕', 'failed'], skipped: ['–', 'skipped'],
};

class View {
  constructor(steps) {
    this.rows = new Map(steps.map(([key, title]) => [key, element('li', {},
      element('span', { class: 'mark', 'aria-hidden': 'true' }), element('h3', {}, title),
      element('span', { class: 'state' }), element('p', { class: 'detail' }),
      element('div', { class: 'extra' }))]));
    find('steps').replaceChildren(...this.rows.values());
    for (const key of this.rows.keys()) this.show(key, 'pending');
  }

  // Show the state of a step, and its result as text.
  show(key, state, detail = '') {
    const row = this.rows.get(key);
    [row.querySelector('.mark').textContent, row.querySelector('.state').textContent] = STATES[state];
    row.querySelector('.detail').textContent = detail;
    row.className = state;
    if (state !== 'running' && key !== 'times') row.querySelector('.extra').replaceChildren();
  }

  // Show the round trips of a step as bars, and their median as a line.
  chart(times, count) {
    const width = 400, height = 56, most = Math.max(...times, 1), half = median(times);
    const y = (time) => height - (height - 2) * time / most;
    const text = `${times.length} round trips, median ${milliseconds(half)}, at most ${milliseconds(most)}`;
    const chart = element('svg', { class: 'chart', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': text },
      ...times.map((time, index) => element('rect', { x: index * width / count + 1, y: y(time),
        width: width / count - 3, height: height - y(time), rx: 1.5 })),
      element('line', { x1: 0, x2: width, y1: y(half), y2: y(half) }));
    const caption = `The highest bar is ${milliseconds(most)}, and the dashed line is the median.`;
    this.rows.get('times').querySelector('.extra').replaceChildren(
      chart, element('p', { class: 'caption' }, caption));
  }

  // Show the remaining time of the idle step, and a button that skips it and sets `clicked`.
  countdown(seconds, onClick) {
    const bar = element('progress', { max: seconds, value: 0, 'aria-label': 'idle time' });
    const button = element('button', { id: 'skip', type: 'button' }, 'Skip');
    const state = { clicked: false, show: (rest) => {
      bar.value = seconds - rest;
      this.rows.get('idle').querySelector('.detail').textContent = `${Math.ceil(rest)} s to go without data`;
    } };
    button.onclick = () => { state.clicked = true; onClick(); };
    this.rows.get('idle').querySelector('.extra').replaceChildren(bar, button);
    return state;
  }

  // Show the link and the QR code for the second device, or hide them.
  invite(link) {
    find('invitation').hidden = link === undefined;
    if (link === undefined) return;
    const rows = qrCode(link) ?? [], size = rows.length + 8;  // a margin of four modules on each side
    const path = rows.flatMap((row, y) => row.map((dark, x) => dark ? `M${x + 4} ${y + 4}h1v1h-1z` : '')).join('');
    find('code').replaceChildren(element('svg', { viewBox: `0 0 ${size} ${size}`, role: 'img',
      'aria-label': 'QR code of the link', 'shape-rendering': 'crispEdges' },
    element('rect', { width: size, height: size, fill: '#fff' }), element('path', { d: path, fill: '#000' })));
    find('code').hidden = rows.length === 0;
    find('link').href = find('link').textContent = link;
    find('local').hidden = !/^(localhost|127\..*|\[::1\])$/.test(location.hostname);
  }
}

// Show the verdict: a state, a headline, a sentence, and a hint if a step failed.
function showVerdict(state, title, summary, [cause, action] = []) {
  find('verdict').className = state;
  find('title').textContent = title;
  find('summary').textContent = summary;
  find('advice').hidden = cause === undefined;
  find('cause').textContent = cause ?? '';
  find('action').textContent = action ?? '';
}
