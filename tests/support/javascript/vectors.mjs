// Check clients/arc-relay.mjs with docs/endpoints-vectors.json. Fails with an AssertionError.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { Handshake, InvalidLink, Link, ProtocolViolation, decode } from "../../../clients/arc-relay.mjs";

const PKCS8 = "302e020100300506032b656e04220420"; // RFC 8410, before the 32 bytes of a private key
const { links, invalid_links, connections, malformed_plaintexts } =
  JSON.parse(readFileSync(new URL("../../../docs/endpoints-vectors.json", import.meta.url)));
const hex = (data) => Buffer.from(data).toString("hex");
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));

async function keyPair(privateKey, publicKey) {
  return {
    privateKey: await crypto.subtle.importKey("pkcs8", bytes(PKCS8 + privateKey), "X25519", false, ["deriveBits"]),
    publicKey: await crypto.subtle.importKey("raw", bytes(publicKey), "X25519", true, []),
  };
}

for (const { link, code, key, session_url } of links) {
  const parsed = Link.parse(link);
  assert.deepEqual([parsed.code, hex(parsed.key), parsed.text], [code, key, link]);
  assert.equal(parsed.url(new URL(session_url).searchParams.get("pair")), session_url);
}
for (const link of invalid_links) {
  assert.throws(() => Link.parse(link), (error) => error instanceof InvalidLink && !error.message.includes("30fF"));
}
for (const part of ["?token=canary", "?a=1&t%6Fken=canary", "?pair=canary", "#k=canary"]) {
  const refused = (error) => error instanceof InvalidLink && !error.message.includes("canary");
  assert.throws(() => Link.new(`wss://relay.example/${part}`), refused);
}
assert.match(Link.new("wss://relay.example/?a=1").text, /^wss:\/\/relay\.example\/\?pair=[\w-]{22}&a=1#k=[\w-]{43}$/);
for (const vector of connections) {
  const prologue = Buffer.from(vector.prologue, "hex").toString();
  const [guest, host] = await Promise.all(["guest", "host"].map(async (role) => {
    const keys = await keyPair(vector[`${role}_ephemeral_private_key`], vector[`${role}_ephemeral_public_key`]);
    return Handshake.create(bytes(vector.key), prologue, keys);
  }));
  const first = await guest.writeFirst();
  assert.equal(hex(first), vector.guest_handshake_message);
  await host.readFirst(first);
  const second = await host.writeSecond();
  assert.equal(hex(second), vector.host_handshake_message);
  await guest.readSecond(second);
  assert.deepEqual([hex(guest.hash), hex(host.hash)], [vector.handshake_hash, vector.handshake_hash]);
  const [sending, receiving] = [await guest.split(), await host.split()];
  for (const { from, fields: { data, key, ...fields }, plaintext, message } of vector.messages) {
    const direction = from === "guest" ? 0 : 1;
    assert.equal(hex(await sending[direction].encrypt(bytes(plaintext))), message);
    assert.equal(hex(await receiving[direction].decrypt(bytes(message))), plaintext);
    const decoded = decode(bytes(plaintext));
    assert.deepEqual({ ...decoded, ...fields }, decoded);
    if (data || key) assert.equal(hex(decoded.body).slice(key ? 44 : 0), data ?? key);
  }
}
for (const { plaintext } of malformed_plaintexts) {
  assert.throws(() => decode(bytes(plaintext)), ProtocolViolation, plaintext);
}
console.log(`${links.length} links, ${connections.length} connections`);
