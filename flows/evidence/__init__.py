"""How a model did on the test pictures, and what is kept of it."""
