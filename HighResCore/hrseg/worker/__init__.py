"""The inference process: protocol, server, client."""
