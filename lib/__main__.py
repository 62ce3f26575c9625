"""`python -m lib`: the command line of the runbook."""

from lib.cli import main

if __name__ == "__main__":
    main()
