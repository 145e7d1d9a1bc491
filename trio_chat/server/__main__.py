"""``python -m trio_chat.server PORT BLOCK_DURATION TIMEOUT``."""

import sys

from .cli import main

sys.exit(main())
