"""HTTP and WebSocket without I/O: request heads, handshakes, responses and frames."""
