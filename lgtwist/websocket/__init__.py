"""The wire: WebSocket connections that cannot hurt anybody (RFC 6455, over Autobahn)."""
