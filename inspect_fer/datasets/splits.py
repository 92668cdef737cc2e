"""Names of splits. "train", "select" and "test" are understood for every dataset, beside its own names."""

from inspect_fer.errors import DataError
from inspect_fer.lookup import no_such_name

ROLES = ("train", "select", "test")
"""What a split is for: to learn from, to choose the best epoch on, to report on."""

FER2013_SPLITS = ("Training", "PublicTest", "PrivateTest")
OTHER_NAMES = {"training": "train", "valid": "select", "validation": "select", "val": "select"}


def split_names(split: str, own: tuple[str, str, str]) -> tuple[str, ...]:
    """Which of a dataset's three `own` splits are meant by `split`; "all" means all three.

    Raises DataError with the nearest name and every choice.
    """
    if split == "all":
        return own
    known = dict(zip(ROLES, own, strict=True)) | {name: name for name in own}
    role = OTHER_NAMES.get(split.lower(), split) if split not in known else split
    if role not in known:
        raise DataError(no_such_name(split, [*own, *(role for role in ROLES if role not in own), "all"], "split"))
    return (known[role],)
