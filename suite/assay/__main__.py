"""`python -m assay`: the `assay` command, for where scripts are not on the PATH."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the current folder, whose random.py or torch.py is none of ours

from assay.cli import main

main()
