"""Read by every interpreter that a test starts: garbage collections are a fifth of what `import torch` takes, and there
is no garbage. Scripts see a collector that comes less often, and nothing else."""

import gc

gc.set_threshold(100_000, 10, 10)
