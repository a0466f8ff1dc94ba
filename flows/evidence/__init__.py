"""How a model did on held-out pictures, and which of them production is compared with."""
