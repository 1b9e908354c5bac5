// A relay on Bun.serve: whole messages, no compression, one write for all messages of one turn of
// the event loop. While the socket of one side has no room, the other side is not read.
// Environment: TLS_CERT and TLS_KEY, the PEM files for TLS.

const MAX_MESSAGE = 100 * 1024 * 1024
const { TLS_CERT, TLS_KEY } = process.env

const pairs = new Map()

function flush (side, to) {
  const { batch } = side
  side.batch = []
  to.cork(() => {
    let last = 0
    for (const message of batch) last = to.sendBinary(message)
    // -1: the socket has no room, and the message is buffered.
    if (last < 0) {
      side.paused = true
      side.socket.pause()
    }
  })
}

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  idleTimeout: 0,
  tls: TLS_CERT ? { cert: Bun.file(TLS_CERT), key: Bun.file(TLS_KEY) } : undefined,

  fetch (request, server) {
    const { url } = request
    const code = new URLSearchParams(url.slice(url.indexOf('?'))).get('pair')
    if (!code) return new Response('no pair code', { status: 400 })
    const first = pairs.get(code)
    if (first?.other) return new Response('pair is full', { status: 409 })
    const side = { code, other: first, socket: undefined, early: [], batch: [], paused: false }
    if (!server.upgrade(request, { data: side })) return new Response('no upgrade', { status: 426 })
    if (first) first.other = side
    else pairs.set(code, side)
  },

  websocket: {
    maxPayloadLength: MAX_MESSAGE,
    backpressureLimit: 2 * MAX_MESSAGE,
    perMessageDeflate: false,
    idleTimeout: 0,
    sendPings: false,

    open (socket) {
      const side = socket.data
      side.socket = socket
      const first = side.other
      if (first?.socket && pairs.get(side.code) === first) {
        for (const message of first.early) socket.sendBinary(message)
        first.early.length = 0
      }
    },

    message (socket, message) {
      if (typeof message === 'string') return
      const side = socket.data
      const to = side.other?.socket
      if (!to) side.early.push(message)
      else if (side.batch.push(message) === 1) setImmediate(flush, side, to)
    },

    drain (socket) {
      const { other } = socket.data
      if (other?.paused && socket.getBufferedAmount() === 0) {
        other.paused = false
        other.socket.resume()
      }
    },

    close (socket) {
      const { code, other } = socket.data
      pairs.delete(code)
      if (!other?.socket) return
      flush(socket.data, other.socket)
      other.socket.close(1000, 'peer disconnected')
    }
  }
})

console.log(`listening on 127.0.0.1:${server.port}`)
