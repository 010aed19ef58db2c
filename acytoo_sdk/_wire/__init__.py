"""What `protocol` stands on: framing, text, errors and payloads of the wire. Bytes in, text out; no socket, no clock."""
