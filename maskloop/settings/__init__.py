"""`maskloop.toml`, parsed and checked."""
