"""Game days: each usual failure is injected into a copy of the workspace, and watched to its end."""
