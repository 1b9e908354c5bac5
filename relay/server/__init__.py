"""Server of the relay: `serve_relay`, its connections and its shutdown."""
