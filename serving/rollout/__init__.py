"""Champion and challenger compared: pairs, analysis and the phases of a rollout."""
