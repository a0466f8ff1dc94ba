"""What the commands of the person on call do: status and history, and what carries the loop on."""
