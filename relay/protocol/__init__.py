"""HTTP and WebSocket as bytes: request heads, handshakes, responses, frames. No I/O."""
