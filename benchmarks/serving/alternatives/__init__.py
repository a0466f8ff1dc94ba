"""The same work behind other servers: each the smallest app its documentation shows, its batching on."""
