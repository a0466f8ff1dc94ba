"""What labelling tools' exports do to masks: found by rows of a table, named, and undone when asked to."""
