"""Several processes train one network together: what they agree on, and who has which pictures."""
