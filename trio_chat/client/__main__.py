"""``python -m trio_chat.client``."""

import sys

from .cli import main

sys.exit(main())
