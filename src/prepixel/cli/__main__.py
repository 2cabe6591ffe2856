"""``python -m prepixel.cli`` is the command."""

import sys

from prepixel.cli import main

sys.exit(main())
