"""`python -m noisescale`: the command `noisescale`."""

import sys

from noisescale.command import main

if __name__ == "__main__":
    sys.exit(main())
