"""The relay itself: `serve_relay`, its connections and its shutdown."""
