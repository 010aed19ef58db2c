"""What `protocol` stands on: framing, text and error bodies of the wire. Bytes in, text out; no socket, no clock."""
