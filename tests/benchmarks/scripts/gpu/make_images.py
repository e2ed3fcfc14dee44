"""Makes a folder of JPEGs, a folder for each class, as `torchvision.datasets.ImageFolder` reads it.

    python make_images.py FOLDER [--images 16000] [--different 2000]

So many different pictures are drawn; the others are further names of their files.
"""

import argparse
import functools
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 10
SIZE = (400, 340)


def draw(folder: Path, number: int) -> None:
    """Smooth colours with some noise: about as long to decode as a photograph of this size."""
    chance = np.random.default_rng(number)
    colours = Image.fromarray(chance.integers(0, 256, (12, 14, 3), dtype=np.uint8)).resize(SIZE, Image.BICUBIC)
    noise = chance.integers(-12, 13, (SIZE[1], SIZE[0], 3))
    pixels = np.clip(np.asarray(colours, dtype=np.int16) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(place(folder, number), quality=85)


def place(folder: Path, number: int) -> Path:
    return folder / f"class{number % CLASSES}" / f"{number:06d}.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=16_000)
    parser.add_argument("--different", type=int, default=2_000)
    args = parser.parse_args()
    for number in range(CLASSES):
        (args.folder / f"class{number}").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(functools.partial(draw, args.folder), range(args.different), chunksize=16))
    for number in range(args.different, args.images):
        os.link(place(args.folder, number % args.different), place(args.folder, number))


if __name__ == "__main__":
    main()
