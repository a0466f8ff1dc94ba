"""What is promised about service and model, and how far labels show that the model keeps it."""
