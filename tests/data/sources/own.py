"""What the tests of the user's own data share."""

PARTS = ("train", "valid", "test")


def parts(dataset):
    return [getattr(dataset, part) for part in PARTS]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
