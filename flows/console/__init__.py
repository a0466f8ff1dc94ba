"""What all commands share: how one is declared and grouped, and the output of an answer."""
