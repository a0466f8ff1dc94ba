"""The command's entry point: ``maskloop`` and ``python -m flows.cli``."""

from flows.command.main import main

if __name__ == "__main__":
    main()
