"""People are told what needs them: decided from the state, sent through channels, each message once."""
