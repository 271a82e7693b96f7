"""`python -m scripts.simulator`: see `--help`."""

import sys

from scripts.simulator import parse_arguments, serve

if __name__ == "__main__":
    serve(parse_arguments(sys.argv[1:]))
