"""Networks after VGG (Simonyan and Zisserman, ICLR 2015, arXiv:1409.1556): stages of 3x3 convolutions, then pooling."""

from itertools import pairwise

from torch import Tensor, nn

from inspect_fer.models.blocks import at_least, dense_head, in_turn


def stage(inputs: int, outputs: int, convs: int, *, norm: bool, dropout: float = 0.0) -> nn.Sequential:
    """Convolutions with ReLU, with or without batch norm between, then pooling that halves the map, and dropout."""
    layers: dict[str, nn.Module | None] = {}
    for place in range(1, convs + 1):
        layers[f"conv{place}"] = nn.Conv2d(inputs if place == 1 else outputs, outputs, 3, padding=1)
        layers[f"norm{place}"] = nn.BatchNorm2d(outputs) if norm else None
        layers[f"relu{place}"] = nn.ReLU()
    return in_turn(**layers, pool=nn.MaxPool2d(2), dropout=nn.Dropout(dropout) if dropout else None)


class VGG(nn.Module):
    """Four stages of two convolutions with batch norm, three linear layers. Khaireddin and Chen, arXiv:2105.03588.

    29,890,759 parameters for 7 classes and 1 channel at 40 px, the size of the paper's crops, where a map of 2x2 is
    flattened.

    width: channels of the first stage, doubled by each further one; dense: outputs of the first two linear layers
    dropout: behind either; the paper's before each ReLU, which is the same
    size: side of the square images, at least 16; the first linear layer is made for it
    """

    cam_layer = "stages.3.relu2"

    def __init__(
        self,
        *,
        channels: int = 1,
        classes: int = 7,
        size: int = 48,
        width: int = 64,
        dense: int = 4096,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        at_least(16, size, "VGG")
        widths = (channels, width, 2 * width, 4 * width, 8 * width)
        self.stages = nn.Sequential(*(stage(*ends, 2, norm=True) for ends in pairwise(widths)))
        flat = widths[-1] * (size // 16) ** 2
        self.classifier = dense_head(flat, dense, dense, classes, dropout=[dropout, dropout])

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, size, size) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.stages(images).flatten(1))
        return logits


class VGG13(nn.Module):
    """Ten convolutions in stages of 2, 2, 3 and 3, three linear layers; FER+. Barsoum et al., arXiv:1608.01041.

    8,757,704 parameters for 8 classes and 1 channel at 64 px. No batch norm.

    width: channels of the first stage, then twice, four and four times as many; dense: outputs of the first two linear
        layers
    dropout: behind either; block_dropout: behind each pooling
    size: side of the square images, at least 16; the first linear layer is made for it
    """

    cam_layer = "stages.3.relu3"

    def __init__(
        self,
        *,
        channels: int = 1,
        classes: int = 7,
        size: int = 48,
        width: int = 64,
        dense: int = 1024,
        dropout: float = 0.5,
        block_dropout: float = 0.25,
    ) -> None:
        super().__init__()
        at_least(16, size, "VGG13")
        widths = pairwise((channels, width, 2 * width, 4 * width, 4 * width))
        self.stages = nn.Sequential(
            *(
                stage(*ends, convs, norm=False, dropout=block_dropout)
                for ends, convs in zip(widths, (2, 2, 3, 3), strict=True)
            )
        )
        flat = 4 * width * (size // 16) ** 2
        self.classifier = dense_head(flat, dense, dense, classes, dropout=[dropout, dropout])

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, size, size) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.stages(images).flatten(1))
        return logits


class SharedNormStage(nn.Module):
    """Two convolutions with ReLU and one batch norm that serves both, dropout behind the first, then pooling."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.pool = nn.MaxPool2d(2)

    def forward(self, features: Tensor) -> Tensor:
        """features (N, inputs, h, w) -> (N, outputs, h / 2, w / 2), rounded down."""
        first = self.dropout(self.relu1(self.norm(self.conv1(features))))
        pooled: Tensor = self.pool(self.relu2(self.norm(self.conv2(first))))
        return pooled


class VGGLMU(nn.Module):
    """Three stages of two convolutions that share a batch norm, three linear layers; source 003 (final).

    72,460,742 parameters for 6 classes and 3 channels at 64 px, where a map of 8x8 is flattened.

    width: channels of the first stage, doubled by each further one; dense: outputs of the first linear layer, of which
        the second has a quarter
    dropout: behind either; block_dropout: behind the first convolution of each stage
    size: side of the square images, at least 8; the first linear layer is made for it
    """

    cam_layer = "stages.2.relu2"

    def __init__(
        self,
        *,
        channels: int = 1,
        classes: int = 7,
        size: int = 48,
        width: int = 64,
        dense: int = 4096,
        dropout: float = 0.5,
        block_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        at_least(8, size, "VGG (LMU)")
        widths = (channels, width, 2 * width, 4 * width)
        self.stages = nn.Sequential(*(SharedNormStage(*ends, block_dropout) for ends in pairwise(widths)))
        flat = widths[-1] * (size // 8) ** 2
        self.classifier = dense_head(flat, dense, dense // 4, classes, dropout=[dropout, dropout])

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, size, size) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.stages(images).flatten(1))
        return logits
