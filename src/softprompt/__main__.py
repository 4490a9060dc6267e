"""`python -m softprompt`: the command line, without its script on the path."""

from softprompt.cli import main

if __name__ == "__main__":
    main()
