"""`python -m seq2x` is `seq2x`."""

import sys

from seq2x.cli import main

if __name__ == "__main__":
    sys.exit(main())
