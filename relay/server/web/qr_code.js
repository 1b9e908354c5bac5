'use strict';
// Encode a text as a QR code (ISO/IEC 18004): byte mode, error correction level M, versions 1 to 10.

// For each version: the number of codewords, of error correction codewords in a block, and of blocks.
const VERSIONS = [
  [26, 10, 1], [44, 16, 1], [70, 26, 1], [100, 18, 2], [134, 24, 2],
  [172, 16, 4], [196, 18, 4], [242, 22, 4], [292, 22, 5], [346, 26, 5],
];
const MASKS = [
  (x, y) => (x + y) % 2, (x, y) => y % 2, (x) => x % 3, (x, y) => (x + y) % 3,
  (x, y) => ((x / 3 | 0) + (y / 2 | 0)) % 2, (x, y) => x * y % 2 + x * y % 3,
  (x, y) => (x * y % 2 + x * y % 3) % 2, (x, y) => ((x + y) % 2 + x * y % 3) % 2,
];

// Powers and logarithms in GF(256) with the polynomial x^8 + x^4 + x^3 + x^2 + 1.
const POWERS = [], LOGARITHMS = [];
for (let exponent = 0, value = 1; exponent < 255; exponent++) {
  POWERS[exponent] = value;
  LOGARITHMS[value] = exponent;
  value = value << 1 ^ (value >> 7) * 0x11d;
}
const multiply = (a, b) => a && b ? POWERS[(LOGARITHMS[a] + LOGARITHMS[b]) % 255] : 0;

// Return the error correction codewords of a block (Reed-Solomon).
function errorCorrection(block, size) {
  let generator = [1];
  for (let root = 0; root < size; root++) {
    generator = [...generator, 0].map(
      (value, index) => value ^ multiply(generator[index - 1] ?? 0, POWERS[root]));
  }
  const rest = [...block, ...Array(size).fill(0)];
  block.forEach((_, start) => {
    const factor = rest[start];
    generator.forEach((value, index) => { rest[start + index] ^= multiply(value, factor); });
  });
  return rest.slice(block.length);
}

// Return the smallest version with room for `length` bytes, or undefined if there is none.
const versionFor = (length) => VERSIONS.findIndex(([all, correction, blocks], index) =>
  length + (index < 9 ? 2 : 3) <= all - correction * blocks) + 1 || undefined;

// Return all codewords of a message, in the order in which the QR code contains them.
function codewords(bytes, version) {
  const [all, correction, count] = VERSIONS[version - 1];
  const size = all - correction * count;
  // The mode takes 4 bits. The length takes 8 bits, or 16 bits from version 10 on.
  const digits = [4, ...(version < 10 ? [] : [bytes.length >> 12, bytes.length >> 8 & 15]),
    bytes.length >> 4 & 15, bytes.length & 15, ...bytes.flatMap((byte) => [byte >> 4, byte & 15]), 0];
  const data = [];
  for (let index = 0; index < digits.length; index += 2) {
    data.push(digits[index] << 4 | (digits[index + 1] ?? 0));
  }
  for (let index = 0; data.length < size; index++) data.push(index % 2 ? 0x11 : 0xec);
  const short = Math.floor(size / count), blocks = [];
  for (let start = 0, index = 0; index < count; index++) {
    const end = start + short + (index >= count - size % count ? 1 : 0);
    blocks.push(data.slice(start, end));
    start = end;
  }
  const interleave = (lists) => Array.from({ length: Math.max(...lists.map((list) => list.length)) },
    (_, index) => lists.flatMap((list) => list.slice(index, index + 1))).flat();
  return [...interleave(blocks), ...interleave(blocks.map((each) => errorCorrection(each, correction)))];
}

// Return a number followed by the remainder of its division by a polynomial (a BCH code).
function withRemainder(value, polynomial, bits) {
  let rest = value << bits;
  for (let bit = 31 - Math.clz32(rest); bit >= bits; bit--) {
    if (rest >> bit & 1) rest ^= polynomial << bit - bits;
  }
  return value << bits | rest;
}

// Draw a QR code with one of the eight masks; return rows of booleans, true for dark.
function draw(bytes, version, mask) {
  const size = version * 4 + 17;
  const rows = Array.from({ length: size }, () => Array(size));
  const square = (centreX, centreY, radius, isDark) => {
    for (let y = Math.max(0, centreY - radius); y <= Math.min(size - 1, centreY + radius); y++) {
      for (let x = Math.max(0, centreX - radius); x <= Math.min(size - 1, centreX + radius); x++) {
        rows[y][x] = isDark(Math.max(Math.abs(x - centreX), Math.abs(y - centreY)));
      }
    }
  };
  const last = size - 7;
  const centres = version === 1 ? [] : version < 7 ? [6, last] : [6, version * 2 + 8, last];
  for (const x of centres) {
    for (const y of centres) {
      const corner = (x === 6 && y === 6) || (x === 6 && y === last) || (x === last && y === 6);
      if (!corner) square(x, y, 2, (ring) => ring !== 1);
    }
  }
  for (let index = 0; index < size; index++) rows[6][index] = rows[index][6] = index % 2 === 0;
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) {
    square(x, y, 4, (ring) => ring !== 2 && ring !== 4);
  }
  if (version > 6) {
    const information = withRemainder(version, 0x1f25, 12);
    for (let bit = 0; bit < 18; bit++) {
      const near = bit / 3 | 0, far = size - 11 + bit % 3;
      rows[near][far] = rows[far][near] = Boolean(information >> bit & 1);
    }
  }
  const format = withRemainder(mask, 0x537, 10) ^ 0x5412;  // level M has the number 0
  for (let bit = 0; bit < 15; bit++) {
    const dark = Boolean(format >> bit & 1);
    rows[bit < 6 ? bit : bit < 8 ? bit + 1 : size - 15 + bit][8] = dark;
    rows[8][bit < 8 ? size - 1 - bit : bit < 9 ? 7 : 14 - bit] = dark;
  }
  rows[size - 8][8] = true;
  // The bits fill pairs of columns from right to left, alternately upwards and downwards.
  const message = codewords(bytes, version);
  let bit = 0;
  for (let right = size - 1, up = true; right > 0; right -= right === 8 ? 3 : 2, up = !up) {
    for (let step = 0; step < size; step++) {
      const y = up ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        if (rows[y][x] !== undefined) continue;
        const set = message[bit >> 3] >> 7 - bit % 8 & 1;
        rows[y][x] = Boolean(set ^ !MASKS[mask](x, y));
        bit++;
      }
    }
  }
  return rows;
}

// Return the penalty of a QR code, which is higher if scanners find the code harder to read. The standard defines
// four kinds of patterns that add to it.
function penalty(rows) {
  let points = 0;
  for (const lines of [rows, rows.map((_, x) => rows.map((row) => row[x]))]) {
    for (const line of lines) {
      const text = line.map(Number).join('');
      for (const run of text.match(/0{5,}|1{5,}/g) ?? []) points += run.length - 2;
      points += 40 * [...text.matchAll(/(?=00001011101|10111010000)/g)].length;
    }
  }
  rows.forEach((row, y) => row.forEach((dark, x) => {
    const square = [row[x + 1], rows[y + 1]?.[x], rows[y + 1]?.[x + 1]];
    if (square.every((other) => other === dark)) points += 3;
  }));
  const share = rows.flat().filter(Boolean).length / rows.length ** 2;
  return points + 10 * Math.floor(Math.abs(share - 0.5) * 20);
}

// Return the rows of a QR code, true for dark, or undefined if the text is too long.
function qrCode(text, version, mask) {
  const bytes = [...new TextEncoder().encode(text)];
  version ??= versionFor(bytes.length);
  if (version === undefined) return undefined;
  const codes = (mask === undefined ? [...MASKS.keys()] : [mask]).map((each) => draw(bytes, version, each));
  const points = codes.map(penalty);
  return codes[points.indexOf(Math.min(...points))];
}
