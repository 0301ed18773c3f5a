const COLORS = ['#009e73', '#e69f00', '#cc79a7', '#56b4e9', '#d55e00', '#b8b8b8'];
const TRUTH_COLORS = { found: '#3a3a3a', missed: '#ffffff', gained: '#009e73', lost: '#d55e00' };
const RUN_COLORS = ['#a6cce6', '#f4c3a0'];
const PAGE = 300;
const two = CONTENT.runs.length === 2;
const $ = (id) => document.getElementById(id);
let shown = PAGE, chosen = null, current = null, stopAt = null;

function element(tag, text, parent, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== null) node.textContent = text;
  Object.assign(node, attributes);
  if (parent) parent.append(node);
  return node;
}

function percent(value) { return value === null ? '-' : (100 * value).toFixed(1); }

function mean(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
}

function drawTables() {
  $('census').textContent = `${CONTENT.annotations}: ${CONTENT.census}`;
  const results = element('table', null, $('tables'));
  const head = element('tr', null, results);
  for (const text of ['mAP (%) at tIoU', ...CONTENT.tious.map(String), 'mean'])
    element('th', text, head);
  for (const run of CONTENT.runs) {
    const row = element('tr', null, results);
    for (const text of [run.name, ...run.map.map(percent), percent(mean(run.map))])
      element('td', text, row);
  }
}

function drawClasses() {
  const at = Number($('tiou').value), table = $('class-ap');
  $('class-tiou').textContent = CONTENT.tious[at];
  const head = table.tHead.rows[0], body = table.tBodies[0];
  head.replaceChildren();
  for (const text of ['class', 'instances', ...CONTENT.runs.map((run) => run.name),
    ...(two ? ['difference'] : [])]) element('th', text, head);
  const truths = CONTENT.videos.flatMap((video) => video.truth);
  const lines = CONTENT.classes.map((name, label) => {
    const ap = CONTENT.runs.map((run) => run.ap[label][at]);
    const count = truths.filter((truth) => truth.label === label).length;
    return { name, label, ap, count, gain: two && ap[0] !== null ? ap[0] - ap[1] : 0 };
  }).filter((line) => line.ap[0] !== null);
  lines.sort((a, b) => b.gain - a.gain || b.ap[0] - a.ap[0]);
  body.replaceChildren();
  for (const line of lines) {
    const row = element('tr', null, body, { tabIndex: 0 });
    element('td', line.name, row);
    element('td', String(line.count), row);
    line.ap.forEach((value, run) => {
      const cell = element('td', percent(value), row, { className: 'ap' });
      cell.style.backgroundImage = `linear-gradient(${RUN_COLORS[run]}, ${RUN_COLORS[run]})`;
      cell.style.backgroundSize = `${70 * value}% 80%`; // the rest is the number's
    });
    if (two) element('td', `${line.gain > 0 ? '+' : ''}${(100 * line.gain).toFixed(1)}`, row);
    const choose = () => { $('class').value = line.label; drawList(); };
    row.addEventListener('click', choose);
    row.addEventListener('keydown', (event) => { if (event.key === 'Enter') choose(); });
  }
}

function instanceState(truth, at) {
  const found = truth.found.map((run) => run[at]);
  if (!two) return found[0] ? 'found' : 'missed';
  if (found[0] === found[1]) return found[0] ? 'found' : 'missed';
  return found[0] ? 'gained' : 'lost';
}

const STATE_WORDS = two
  ? { found: 'found by both', missed: 'missed by both',
      gained: `found by ${CONTENT.runs[0].name} only`,
      lost: `found by ${CONTENT.runs[1].name} only` }
  : { found: 'instance found', missed: 'instance missed' };

function allItems() {
  const at = Number($('tiou').value), items = [];
  for (const video of CONTENT.videos) {
    for (const truth of video.truth)
      items.push({ video, moment: truth, state: instanceState(truth, at), run: null });
    video.found.forEach((found, run) => {
      for (const detection of found)
        items.push({ video, moment: detection, category: detection.category[at], run });
    });
  }
  return items;
}

function isError(item) {
  return item.category === undefined ? item.state !== 'found' : item.category > 0;
}

function kindOf(item) { return item.category === undefined ? item.state : String(item.category); }

function selected() {
  const run = $('run').value, label = $('class').value, kind = $('kind').value;
  const score = Number($('score').value), text = $('search').value.trim().toLowerCase();
  const items = allItems().filter((item) =>
    (item.run === null || (String(item.run) === run && item.moment.score >= score)) &&
    (label === '' || item.moment.label === Number(label)) &&
    (kind === '' || kind === kindOf(item) || (kind === 'errors' && isError(item))) &&
    item.video.id.toLowerCase().includes(text));
  const rank = (item) => (isError(item) ? 0 : 1);
  const strength = (item) => (item.run === null ? 0 : item.moment.score);
  const place = new Map(CONTENT.videos.map((video, index) => [video, index]));
  const byTime = (a, b) => place.get(a.video) - place.get(b.video) ||
    a.moment.start - b.moment.start;
  const orders = {
    errors: (a, b) => rank(a) - rank(b) || strength(b) - strength(a) || byTime(a, b),
    score: (a, b) => strength(b) - strength(a) || byTime(a, b),
    time: byTime,
  };
  return items.sort(orders[$('order').value]);
}

function words(item) {
  return item.category === undefined ? STATE_WORDS[item.state] : CONTENT.categories[item.category];
}

function color(item) {
  return item.category === undefined ? TRUTH_COLORS[item.state] : COLORS[item.category];
}

function drawList() {
  const items = selected(), body = $('list').tBodies[0];
  body.replaceChildren();
  for (const item of items.slice(0, shown)) {
    const row = element('tr', null, body);
    const kind = element('td', null, row);
    element('span', null, kind, { className: 'dot' }).style.background = color(item);
    kind.append(words(item));
    const { start, end, label, score, tiou } = item.moment;
    element('td', CONTENT.classes[label], row);
    element('td', score === undefined ? '' : score.toFixed(2), row);
    element('td', tiou === undefined ? '' : tiou.toFixed(2), row);
    element('td', item.video.id, row);
    element('td', `${start.toFixed(2)} - ${end.toFixed(2)}`, row);
    row.tabIndex = 0;
    row.classList.toggle('chosen', item.moment === chosen);
    row.addEventListener('click', () => show(item.video, item.moment));
    row.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') show(item.video, item.moment);
    });
  }
  $('more').hidden = items.length <= shown;
  const errors = items.filter(isError).length;
  const states = {};
  for (const item of items) if (item.run === null) states[item.state] = (states[item.state] || 0) + 1;
  const parts = Object.entries(states).map(([state, count]) => `${count} ${STATE_WORDS[state]}`);
  $('counts').textContent = `${items.length} rows, ${errors} errors` +
    (parts.length ? `; instances: ${parts.join(', ')}` : '');
  if (current) drawTimeline(current);
}

function lanes(moments) {
  const ends = [];
  return moments.map(({ start, end }) => {
    let lane = ends.findIndex((last) => last <= start);
    if (lane < 0) lane = ends.length;
    ends[lane] = end;
    return lane;
  });
}

function drawRow(title, items, video) {
  const row = element('div', null, $('timeline'), { className: 'row' });
  element('span', title, row);
  const track = element('div', null, row, { className: 'track' });
  items.sort((a, b) => a.moment.start - b.moment.start);
  const lane = lanes(items.map((item) => item.moment));
  track.style.height = `${20 * (Math.max(0, ...lane) + 1)}px`;
  items.forEach((item, index) => {
    const { start, end, label, score } = item.moment;
    const name = CONTENT.classes[label] + (score === undefined ? '' : ` ${score.toFixed(2)}`);
    const bar = element('button', name, track, { className: 'bar', type: 'button' });
    bar.title = `${name}: ${words(item)}, ${start.toFixed(2)} - ${end.toFixed(2)} s`;
    bar.style.left = `${(100 * start) / video.duration}%`;
    bar.style.width = `${(100 * (end - start)) / video.duration}%`;
    bar.style.top = `${20 * lane[index] + 1}px`;
    bar.style.background = color(item);
    if (color(item) === '#3a3a3a') bar.style.color = '#fff';
    bar.classList.toggle('chosen', item.moment === chosen);
    bar.addEventListener('click', () => show(video, item.moment));
  });
}

function drawTimeline(video) {
  const at = Number($('tiou').value), score = Number($('score').value);
  $('timeline').replaceChildren();
  drawRow('ground truth', video.truth.map((truth) =>
    ({ video, moment: truth, state: instanceState(truth, at), run: null })), video);
  video.found.forEach((found, run) => drawRow(CONTENT.runs[run].name, found
    .filter((detection) => detection.score >= score || detection === chosen)
    .map((detection) => ({ video, moment: detection, category: detection.category[at], run })),
  video));
  element('div', null, $('timeline'), { id: 'now' });
  moveCursor();
}

function moveCursor() {
  const line = $('now'), track = document.querySelector('#timeline .track');
  if (!line || !track) return;
  const share = Math.min($('video').currentTime / current.duration, 1);
  line.style.left = `${track.offsetLeft + share * track.offsetWidth}px`;
}

function show(video, moment) {
  chosen = moment;
  const player = $('video');
  const seek = () => {
    player.currentTime = moment.start;
    stopAt = moment.end;
    player.play().catch(() => {});
  };
  $('video-name').textContent = `${video.id}, ${video.duration.toFixed(2)} s`;
  $('video-note').textContent = video.src === null ? 'The file of this video was not found.' : '';
  if (current !== video) {
    current = video;
    if (video.src === null) player.removeAttribute('src');
    else player.src = video.src;
    player.load();
    if (video.src !== null) player.addEventListener('loadedmetadata', seek, { once: true });
  } else if (video.src !== null) {
    seek();
  }
  drawList();
}

function fill(select, options) {
  for (const [value, text] of options) element('option', text, $(select), { value });
}

function start() {
  drawTables();
  const middle = CONTENT.tious.reduce((best, tiou, index) =>
    (Math.abs(tiou - 0.5) < Math.abs(CONTENT.tious[best] - 0.5) ? index : best), 0);
  fill('tiou', CONTENT.tious.map((tiou, index) => [index, tiou]));
  $('tiou').value = middle;
  fill('run', CONTENT.runs.map((run, index) => [index, run.name]));
  $('run-label').hidden = !two;
  fill('class', [['', 'all'], ...CONTENT.classes.map((name, index) => [index, name])]);
  fill('kind', [['', 'all'], ['errors', 'all errors'],
    ...Object.entries(STATE_WORDS), ...CONTENT.categories.map((name, index) => [index, name])]);
  const names = [...Object.keys(STATE_WORDS).map((state) => [STATE_WORDS[state],
    TRUTH_COLORS[state]]), ...CONTENT.categories.map((name, index) => [name, COLORS[index]])];
  for (const [name, shade] of names) {
    const item = element('span', null, $('legend'));
    element('span', null, item, { className: 'dot' }).style.background = shade;
    item.append(name);
  }
  const again = () => {
    shown = PAGE;
    $('score-text').textContent = Number($('score').value).toFixed(2);
    drawClasses();
    drawList();
  };
  $('filters').addEventListener('input', again);
  $('filters').addEventListener('submit', (event) => event.preventDefault());
  $('more').addEventListener('click', () => { shown += PAGE; drawList(); });
  const player = $('video');
  const follow = () => {
    if (stopAt !== null && player.currentTime >= stopAt) { player.pause(); stopAt = null; }
    if (current) moveCursor();
    if (!player.paused) requestAnimationFrame(follow);
  };
  player.addEventListener('play', follow);
  player.addEventListener('seeked', () => { if (current) moveCursor(); });
  player.addEventListener('error', () => {
    if (player.getAttribute('src')) $('video-note').textContent =
      'The browser cannot play this file; H.264 in MP4 plays everywhere.';
  });
  window.addEventListener('resize', () => { if (current) moveCursor(); });
  drawClasses();
  drawList();
}

start();
