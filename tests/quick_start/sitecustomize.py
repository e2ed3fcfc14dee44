"""Read by every interpreter that a test starts: torch and a first optimizer, without the time that they waste.

- Garbage collections are a fifth of what `import torch` takes, and there is no garbage. Scripts see a collector that
  comes less often, and nothing else.
- The first optimizer imports `torch._dynamo`, which takes as long as torch itself, to keep its methods out of compiled
  code. As long as nothing else has imported it, nothing is compiled: the methods are called without it.
"""

import functools
import gc
import importlib.machinery
import sys

gc.set_threshold(100_000, 10, 10)


class PatchedAfterImport:
    """Finder that hands two modules of torch to their patch as soon as they are imported."""

    def find_spec(self, name, path=None, target=None):
        if name not in PATCHES:
            return None
        patch = PATCHES.pop(name)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def patched(module):
            del spec.loader.exec_module
            execute(module)
            patch(module)

        spec.loader.exec_module = patched
        return spec


def patch_compile(module):
    through_dynamo = module._disable_dynamo

    def disable(method=None, recursive=True):
        if method is None:
            return functools.partial(disable, recursive=recursive)
        return either(method, through_dynamo(method, recursive))

    module._disable_dynamo = disable


def patch_optimizer(module):
    through_dynamo = module._use_grad_for_differentiable

    def use_grad(step):
        def without_dynamo(optimizer, *args, **kwargs):
            with module.torch.set_grad_enabled(optimizer.defaults["differentiable"]):
                return step(optimizer, *args, **kwargs)

        return either(functools.update_wrapper(without_dynamo, step), through_dynamo(step))

    module._use_grad_for_differentiable = use_grad


def either(without_dynamo, through_dynamo):
    @functools.wraps(without_dynamo)
    def call(*args, **kwargs):
        return (through_dynamo if "torch._dynamo" in sys.modules else without_dynamo)(*args, **kwargs)

    return call


PATCHES = {"torch._compile": patch_compile, "torch.optim.optimizer": patch_optimizer}
sys.meta_path.insert(0, PatchedAfterImport())
