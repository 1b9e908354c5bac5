// Check clients/arc-relay.mjs with docs/endpoints-vectors.json. Fails with an AssertionError.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { InvalidLink, Link, ProtocolViolation, decode, handshake } from "../../../clients/arc-relay.mjs";

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
  const messages = [vector.guest_handshake_message, vector.host_handshake_message], sent = [];
  const [guest, host] = await Promise.all(["guest", "host"].map(async (role, index) => {
    const keys = await keyPair(vector[`${role}_ephemeral_private_key`], vector[`${role}_ephemeral_public_key`]);
    const channel = { send: (message) => { sent[index] = hex(message); }, receive: () => bytes(messages[1 - index]) };
    return handshake(role === "guest", bytes(vector.key), prologue, channel, keys);
  }));
  assert.deepEqual(sent, messages);
  assert.deepEqual([hex(guest.hash), hex(host.hash)], [vector.handshake_hash, vector.handshake_hash]);
  for (const { from, fields, plaintext, message } of vector.messages) {
    const [sender, receiver] = from === "guest" ? [guest, host] : [host, guest];
    assert.equal(hex(await sender.encrypt(bytes(plaintext))), message);
    assert.equal(hex(await receiver.decrypt(bytes(message))), plaintext);
    const { data, key, ...others } = decode(bytes(plaintext));
    const found = { ...others, ...(data && { data: hex(data) }), ...(key && { key: hex(key) }) };
    assert.deepEqual({ ...found, ...fields }, found);
  }
}
for (const { plaintext } of malformed_plaintexts) {
  assert.throws(() => decode(bytes(plaintext)), ProtocolViolation, plaintext);
}
console.log(`${links.length} links, ${connections.length} connections`);
