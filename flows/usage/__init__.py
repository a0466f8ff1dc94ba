"""What every command takes: its name, help, arguments and options. Nothing heavy is imported."""
