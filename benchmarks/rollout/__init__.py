"""Four challengers against one champion, over HTTP: what stops the bad ones, and how fast."""
