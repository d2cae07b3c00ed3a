"""`python -m henderson`: the command line where the script `henderson` is not on the path."""

import sys

from henderson.cli import main

if __name__ == "__main__":
    sys.exit(main())
