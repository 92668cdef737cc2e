"""What the training made of a few faces: the changes that the recipe draws, drawn again."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from inspect_fer.errors import FerError
from inspect_fer.schema import ModelCard, Samples

if TYPE_CHECKING:
    from inspect_fer.training.config import Augment

MANY = 4
"""So many changed copies of a face are shown."""


def changed_faces(faces: Samples, card: Mapping[str, Any]) -> Tensor | None:
    """Each face, then MANY changed copies of it: (N, 1 + MANY, C, H, W) uint8; None where nothing is known or changed.

    The draws are of seed 0: the same kind of changes as in the training, not the very same.
    """
    section = card.get("recipe", {}).get("augment")
    if not section or not len(faces):
        return None
    from inspect_fer.training.config import Augment

    try:
        options, known = Augment(**section), ModelCard.from_dict(card)
    except (FerError, TypeError):  # a recipe of another version
        return None
    if faces.pixels.shape[1] != known.input_size[0]:
        return None
    return _changed(faces.pixels[:], options, known)


def _changed(pixels: Tensor, options: "Augment", card: ModelCard) -> Tensor:
    from inspect_fer.images import centre_crop
    from inspect_fer.training.augment import augment, randaugment

    side = min(card.input_size[2], pixels.shape[3])
    copies = pixels.repeat_interleave(MANY, dim=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        copies = randaugment(copies, options) if options.randaugment else copies
    made = augment(card.scale(copies), options, torch.Generator().manual_seed(0), side=side)
    if options.ten_crops:  # one of the ten crops of each copy, another one each time
        made = made[torch.arange(len(copies)) * 10 + torch.arange(len(copies)) % 10]
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (card.mean, card.std))
    plain = centre_crop(pixels, side)
    changed = ((made * std + mean) * 255).round().clamp(0, 255).byte().unflatten(0, (-1, MANY))
    return torch.cat([plain[:, None], changed], dim=1)
