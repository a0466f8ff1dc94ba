"""Gates, their policy, and the verdict they make."""
