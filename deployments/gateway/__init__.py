"""The only routed deployment: HTTP, WebSocket and the page; it holds sockets and no conversation."""
