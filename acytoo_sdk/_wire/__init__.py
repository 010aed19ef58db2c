"""What `protocol` stands on: framing, text, errors and payloads. Bytes in, text out; no socket, no clock."""
