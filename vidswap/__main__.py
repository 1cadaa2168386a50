"""python -m vidswap"""

import sys

from vidswap.cli import main

sys.exit(main())
