"""`python -m scripts.command`: the command without its installation."""

from scripts.command import main

main()
