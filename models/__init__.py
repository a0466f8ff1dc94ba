"""torch lives here: build, train, predict, checkpoint, artifact."""
