"""Where accounts and bots meet. Knows no transport, no socket and no thread."""
