"""Image files for tests: synthetic photographs, and folders of them in every layout."""

import numpy as np
from PIL import Image, ImageFilter


def photograph(rng, width, height):
    """Coloured noise, smooth enough that JPEG and resizing have something to do."""
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2))


def save(path, image, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **settings)
    return path


def folder_by_class(root, rng, *, classes=("ant", "bee", "cat"), each=2, size=(40, 30)):
    for name in classes:
        for number in range(each):
            save(root / name / f"{name}{number}.jpg", photograph(rng, *size))
    return root


def validation_set(root, rng, count=4, size=(40, 30)):
    """Images named as in ILSVRC's validation set."""
    for number in range(1, count + 1):
        save(root / f"ILSVRC2012_val_{number:08}.JPEG", photograph(rng, *size), format="JPEG")
    return root
