"""Read by every interpreter that a test starts: a fifth of what `import torch` takes are collections of its new objects,
of which none is garbage. Scripts see a collector that comes less often, and nothing else."""

import gc

gc.set_threshold(100_000, 10, 10)
