//! Tools for agents: web search, guarded fetch, page to Markdown, files.
