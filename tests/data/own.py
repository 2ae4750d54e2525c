"""A user's folder of images: the built-in drawings as PNG files, a sub-folder a class."""

from PIL import Image

from minires.data import generate


def drawings(root, *, count=40, classes=2, size=32, seed=0):
    """`count` drawings of each of the first classes; returns the folder."""
    data = generate(train=20 * count * classes, test=1, seed=seed, size=size)
    for label, name in enumerate(data.classes[:classes]):
        images = data.train_images[data.train_labels == label][:count]
        for number, image in enumerate(images):
            save(root / name / f"{number:03}.png", image)
    return root


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path
