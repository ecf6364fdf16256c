"""`python -m inspection.cli`."""

from inspection.cli.entry import main

if __name__ == "__main__":
    main()
