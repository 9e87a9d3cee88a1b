//! The server: HTTP and WebSocket doors to graphs.
