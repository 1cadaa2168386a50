"""python -m vidswap"""

import sys

from vidswap.cli.main import main

if __name__ == "__main__":  # a process that bench starts imports this too
    sys.exit(main())
