// What an endpoint of clients/arc-relay.mjs does in a test, in any runtime.
//
// A task is {link, role: "guest" or "host", program, ...options}. The programs get a session.

const programs = {
  /** Send back everything. */
  echo: (session) => session.readable.pipeTo(session.writable),

  /** Read everything, and send the number of bytes. */
  async count(session) {
    const bytes = await new Response(session.readable).arrayBuffer();
    const writer = session.writable.getWriter();
    await writer.write(new TextEncoder().encode(String(bytes.byteLength)));
    await writer.close();
  },

  /** End the session with an error. */
  abort: (session) => session.abort("enough"),
};

/**
 * Do a task, report the events, and return how it ended.
 *
 * @param {typeof import("../../../clients/arc-relay.mjs")} client
 */
export async function run(client, task, onEvent, WebSocket) {
  const { link, role, program, ...options } = task;
  programs.fail = () => { throw new client.TargetError("connection refused"); };
  try {
    if (role === "guest") {
      const session = await client.connect(link, { ...options, onEvent, WebSocket });
      await Promise.all([programs[program](session), session.closed]);
      return { sent: session.bytesSent, received: session.bytesReceived };
    }
    const stop = new AbortController();
    let failure = null;
    await client.serve(link, async (session) => {
      session.closed.then(() => stop.abort(), (error) => {
        failure = error;
        stop.abort();
      });
      await programs[program](session);
    }, { ...options, onEvent, WebSocket, signal: stop.signal });
    if (failure) throw failure;
    return {};
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { error: error.name, message: error.message, reason: error.reason, status: error.status };
  }
}
