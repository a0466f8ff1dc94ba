"""Where people are told something: a port, and Apprise behind it."""
