"""How often a rollout stops a good challenger, and how soon a bad one: by simulation."""
