// A relay on Node and `ws`: whole messages, no compression, early data in memory.
// Argument: the directory under which npm installed `ws`.
// Environment: TLS_CERT and TLS_KEY, the PEM files for TLS.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { createRequire } from 'node:module'

const { WebSocketServer } = createRequire(process.argv[2] + '/')('ws')
const MAX_MESSAGE = 100 * 1024 * 1024

const pairs = new Map()
const { TLS_CERT, TLS_KEY } = process.env
const notFound = (request, response) => response.writeHead(404).end()
const http = TLS_CERT
  ? createSecureServer({ cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) }, notFound)
  : createServer(notFound)
const sockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE
})

function join (code, side) {
  const pair = pairs.get(code) ?? { sides: [], early: [] }
  pairs.set(code, pair)
  pair.sides.push(side)
  const other = () => pair.sides.find((candidate) => candidate !== side)
  side.on('message', (data, isBinary) => {
    if (!isBinary) return
    const to = other()
    if (to) to.send(data)
    else pair.early.push(data)
  })
  side.on('error', () => {})
  side.on('close', () => {
    if (pairs.get(code) === pair) pairs.delete(code)
    other()?.close(1000, 'peer disconnected')
  })
  if (pair.sides.length === 2) {
    for (const data of pair.early) side.send(data)
    pair.early.length = 0
  }
}

http.on('upgrade', (request, socket, head) => {
  const code = new URL(request.url, 'http://relay').searchParams.get('pair')
  const status = !code ? '400 Bad Request' : pairs.get(code)?.sides.length === 2 ? '409 Conflict' : ''
  if (status) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`)
  else sockets.handleUpgrade(request, socket, head, (side) => join(code, side))
})

http.listen(0, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${http.address().port}`))
