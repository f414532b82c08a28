"""WebSocket connections (RFC 6455, over Autobahn), each isolated from the failures of all others."""
