"""Groups whose commands are imported when they are used, and where an answer is printed."""
