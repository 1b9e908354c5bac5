// Do the task on standard input in Node. The argument is the directory that the package ws is installed in,
// or empty for the WebSocket of Node. Standard output has a line of JSON for each event, and the result.

import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import * as client from "../../../clients/arc-relay.mjs";
import { run } from "./endpoint.mjs";

const directory = process.argv[2];
const WebSocket = directory ? createRequire(join(directory, "index.js"))("ws").WebSocket : undefined;
const write = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const task = JSON.parse(await text(process.stdin));
const result = await run(client, task, ({ type, reason }) => write({ type, reason }), WebSocket);
write({ type: "Result", ...result });
