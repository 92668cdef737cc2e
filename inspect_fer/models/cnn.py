"""Networks of source 003: a preliminary report, which became GiMeFive (arXiv:2402.15662)."""

from itertools import pairwise

from torch import Tensor, nn

from inspect_fer.errors import ConfigError
from inspect_fer.models.blocks import ResidualBlock, SqueezeExcitation, at_least, conv_block, dense_head, in_turn

FIRST = ("norm", "se", "norm+se")
"""What may stand behind the first convolution of `GiMeFive`."""


class BaselineCNN(nn.Module):
    """Four blocks of convolution, batch norm, ReLU and pooling, then three linear layers; source 003.

    width: channels of the first block, doubled by each further one; 64 in the source, which has 2,606,086 parameters
        for 6 classes and 3 channels
    dropout: behind the first linear layer; block_dropout: behind each pooling (0.2 in the source's final form)
    size: side of the square images, at least 16; the weights do not depend on it
    """

    cam_layer = "blocks.3.relu"

    def __init__(
        self,
        *,
        channels: int = 1,
        classes: int = 7,
        size: int = 48,
        width: int = 64,
        dropout: float = 0.5,
        block_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        at_least(16, size, "baseline")
        widths = (channels, width, 2 * width, 4 * width, 8 * width)
        self.blocks = nn.Sequential(*(conv_block(*ends, block_dropout) for ends in pairwise(widths)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = dense_head(8 * width, 16 * width, 8 * width, classes, dropout=[dropout])

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.pool(self.blocks(images)).flatten(1))
        return logits


class GiMeFive(nn.Module):
    """Five or six blocks of convolution, batch norm, ReLU and pooling, then three linear layers; source 003.

    For 3 channels and 6 classes, at 64 px in the source:

    gimefive        10,478,086 parameters: dropout behind every pooling but the last, its best network
    gimefive_se     10,478,598: no such dropout, squeeze-and-excitation behind the first batch norm
    gimefive6       41,950,726: no such dropout, a sixth block
    se              10,478,470: no such dropout, squeeze-and-excitation instead of the first batch norm (preliminary)

    The source keeps no code of the second and the third. Where they differ is inferred from these counts; that they
    lack the dropout from their names (+BN+SE without +DO) and from 96 % of the training faces of FER2013, where the
    best one gets 70 %.

    blocks: how many; 5 with block_dropout = 0 is the source's network without dropout. From the sixth on pooling
        rounds up, which changes nothing at 64 px and leaves a map of 2x2 at 48
    first: what stands behind the first convolution: norm, se or norm+se
    width: channels of the first block, doubled by each further one
    dropout: behind the first linear layer; block_dropout: behind each pooling but the last
    size: side of the square images, at least 2 to the power of the blocks, or 32; the weights do not depend on it
    """

    cam_layer = "blocks.4.relu"

    def __init__(
        self,
        *,
        channels: int = 1,
        classes: int = 7,
        size: int = 48,
        blocks: int = 5,
        first: str = "norm",
        width: int = 64,
        dropout: float = 0.5,
        block_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if first not in FIRST or not 1 <= blocks <= 8:
            raise ConfigError(
                f"Behind the first convolution stands one of {', '.join(FIRST)}, and there are 1 to 8 blocks; "
                f"not {first!r} and {blocks!r}."
            )
        at_least(2 ** min(blocks, 5), size, f"GiMeFive ({blocks} blocks)")
        parts = first.split("+")
        last = width * 2 ** (blocks - 1)
        ends = [*pairwise((channels, *(width * 2**place for place in range(blocks))))]
        self.blocks = nn.Sequential(
            *(
                conv_block(
                    *widths,
                    block_dropout if place < blocks - 1 else 0.0,
                    norm=place > 0 or "norm" in parts,
                    squeeze=place == 0 and "se" in parts,
                    round_up=blocks > 5,
                )
                for place, widths in enumerate(ends)
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = dense_head(last, 2 * last, last, classes, dropout=[dropout])

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.pool(self.blocks(images)).flatten(1))
        return logits


class SEResidualCNN(nn.Module):
    """A convolution with squeeze-and-excitation, residual blocks of stride 2, then three linear layers; source 003.

    For 3 channels and 6 classes:

    se_residual     23,720,198 parameters: four residual blocks, to 1024 channels (preliminary)
    gimefive_res    95,051,014: five, to 2048 channels

    blocks: how many residual blocks; width: channels of the first convolution, doubled by each block
    dropout: behind the first linear layer
    size: side of the square images, at least 2 to the power of the blocks; the weights do not depend on it
    """

    cam_layer = "blocks"

    def __init__(
        self,
        *,
        channels: int = 1,
        classes: int = 7,
        size: int = 48,
        blocks: int = 4,
        width: int = 64,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if not 1 <= blocks <= 8:
            raise ConfigError(f"There are 1 to 8 residual blocks, not {blocks!r}.")
        at_least(2**blocks, size, f"SE+residual ({blocks} blocks)")
        widths = [width * 2**place for place in range(blocks + 1)]
        self.stem = in_turn(
            conv=nn.Conv2d(channels, width, 3, padding=1),
            norm=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            se=SqueezeExcitation(width),
        )
        self.blocks = nn.Sequential(*(ResidualBlock(*ends, stride=2) for ends in pairwise(widths)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = dense_head(widths[-1], 2 * widths[-1], widths[-1], classes, dropout=[dropout])

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.pool(self.blocks(self.stem(images))).flatten(1))
        return logits
