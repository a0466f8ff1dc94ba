"""The HTTP edge: routes, guards and the server process. Only here is a web framework."""
