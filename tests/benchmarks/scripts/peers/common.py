"""What the workloads of the comparison share: the plain training, and settings applied by hand in plain torch."""

import argparse
import json
import time

import torch
from torch.utils.data import DataLoader

KNOWN = {
    "batch_size", "num_workers", "persistent_workers", "prefetch_factor", "threads", "precision", "memory_format",
    "fused", "foreach", "compile", "matmul_precision",
}  # fmt: skip
DTYPES = {None: None, "fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def loader_of(dataset, batch_size, settings):
    workers = settings.get("num_workers", 0)
    lasting = {"persistent_workers": settings.get("persistent_workers", False)} if workers else {}
    ahead = {"prefetch_factor": settings["prefetch_factor"]} if workers and settings.get("prefetch_factor") else {}
    size = settings.get("batch_size", batch_size)
    return DataLoader(dataset, batch_size=size, shuffle=True, drop_last=True, num_workers=workers, **lasting, **ahead)


def main(make_dataset, make_model, make_optimizer, loss_of, batch_size):
    """Trains as its user wrote it; with --settings as a tool advised, and with --seconds for the neutral timer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--seconds", type=float, help="print samples a second after so many, warm-up left out")
    arguments = parser.parse_args()
    settings = arguments.settings
    if unknown := sorted(set(settings) - KNOWN):
        parser.error(f"settings that this script cannot take: {', '.join(unknown)}")
    torch.manual_seed(0)
    if settings.get("threads"):
        torch.set_num_threads(settings["threads"])
    if settings.get("matmul_precision"):
        torch.set_float32_matmul_precision(settings["matmul_precision"])
    model = make_model()
    if settings.get("memory_format") == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    forms = [form for form in ("fused", "foreach") if settings.get(form)]
    optimizer = make_optimizer(model, **dict.fromkeys(forms, True))
    mode = settings.get("compile")  # True, or one of torch's own names
    call = torch.compile(model, mode=mode if isinstance(mode, str) else None) if mode else model
    loader = loader_of(make_dataset(), batch_size, settings)
    dtype = DTYPES[settings.get("precision")]
    begun, samples, counted_from = time.perf_counter(), 0, None
    while True:
        for features, targets in loader:
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                loss = loss_of(call(features), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if arguments.seconds is None:
                continue
            now = time.perf_counter()
            samples += len(features)
            if counted_from is None and now - begun > arguments.seconds:  # as long a warm-up, compiling included
                counted_from, samples = now, 0
            elif counted_from is not None and now - counted_from > arguments.seconds:
                print(json.dumps({"samples_per_s": samples / (now - counted_from)}))
                return
