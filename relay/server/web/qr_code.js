'use strict';
// Encode a text as a QR code (ISO/IEC 18004): byte mode, versions 2 to 6, error correction level M, mask 2.

// For each version: the number of data codewords and of error correction codewords in a block, and of blocks.
const VERSIONS = { 2: [28, 16, 1], 3: [44, 26, 1], 4: [32, 18, 2], 5: [43, 24, 2], 6: [27, 16, 4] };
const FORMAT = 0b101111001111100;  // level M, mask 2
const isInverted = (x) => x % 3 === 0;  // by mask 2

// Multiply in GF(256) with the polynomial x^8 + x^4 + x^3 + x^2 + 1.
function multiply(a, b) {
  let product = 0;
  for (; b; b >>= 1) {
    if (b & 1) product ^= a;
    a = a << 1 ^ (a >> 7) * 0x11d;
  }
  return product;
}

// Return the error correction codewords of a block (Reed-Solomon).
function errorCorrection(block, size) {
  let generator = [1];
  for (let count = 0, root = 1; count < size; count++, root = multiply(root, 2)) {
    generator = [...generator, 0].map((value, index) => value ^ multiply(generator[index - 1] ?? 0, root));
  }
  const rest = [...block, ...Array(size).fill(0)];
  for (let start = 0; start < block.length; start++) {
    const factor = rest[start];
    generator.forEach((value, index) => { rest[start + index] ^= multiply(value, factor); });
  }
  return rest.slice(block.length);
}

// Return all codewords of a message, in the order in which the QR code contains them.
function codewords(bytes, [size, correction, count]) {
  const digits = [4, bytes.length, ...bytes].flatMap((byte, index) => index ? [byte >> 4, byte & 15] : byte);
  const data = [...digits, 0].flatMap((digit, index, all) => index % 2 ? all[index - 1] << 4 | digit : []);
  for (let index = 0; data.length < size * count; index++) data.push(index % 2 ? 0x11 : 0xec);
  const blocks = Array.from({ length: count }, (_, index) => data.slice(index * size, (index + 1) * size));
  const interleave = (lists) => lists[0].flatMap((_, index) => lists.map((list) => list[index]));
  return [...interleave(blocks), ...interleave(blocks.map((block) => errorCorrection(block, correction)))];
}

// Return the rows of a QR code, true for dark; without rows if the text has more than 106 bytes.
function qrCode(text) {
  const bytes = [...new TextEncoder().encode(text)];
  const version = Object.keys(VERSIONS).find((each) => bytes.length + 2 <= VERSIONS[each][0] * VERSIONS[each][2]);
  if (!version) return [];
  const size = version * 4 + 17, rows = Array.from({ length: size }, () => Array(size));
  const square = (centreX, centreY, radius, lightRings) => {
    for (let y = Math.max(0, centreY - radius); y <= Math.min(size - 1, centreY + radius); y++) {
      for (let x = Math.max(0, centreX - radius); x <= Math.min(size - 1, centreX + radius); x++) {
        rows[y][x] = !lightRings.includes(Math.max(Math.abs(x - centreX), Math.abs(y - centreY)));
      }
    }
  };
  for (let index = 0; index < size; index++) rows[6][index] = rows[index][6] = index % 2 === 0;
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) square(x, y, 4, [2, 4]);
  square(size - 7, size - 7, 2, [1]);
  for (let bit = 0; bit < 15; bit++) {
    const isDark = Boolean(FORMAT >> bit & 1);
    rows[bit < 6 ? bit : bit < 8 ? bit + 1 : size - 15 + bit][8] = isDark;
    rows[8][bit < 8 ? size - 1 - bit : bit < 9 ? 7 : 14 - bit] = isDark;
  }
  rows[size - 8][8] = true;
  // The bits fill pairs of columns from right to left, alternately upwards and downwards.
  const message = codewords(bytes, VERSIONS[version]);
  let bit = 0;
  for (let right = size - 1, isUp = true; right > 0; right -= right === 8 ? 3 : 2, isUp = !isUp) {
    for (let step = 0; step < size; step++) {
      const y = isUp ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        if (rows[y][x] !== undefined) continue;
        rows[y][x] = Boolean(message[bit >> 3] >> 7 - bit % 8 & 1) !== isInverted(x);
        bit++;
      }
    }
  }
  return rows;
}
