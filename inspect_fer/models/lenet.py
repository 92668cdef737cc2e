"""LeNet-5 and a network in its manner. LeCun et al., Proceedings of the IEEE 86 (1998)."""

from itertools import pairwise

from torch import Tensor, nn

from inspect_fer.models.blocks import at_least, conv_block, dense_head, in_turn


class LeNet(nn.Module):
    """Two convolutions of 5x5 without padding, pooling, three linear layers; source 000.

    168,971 parameters for 7 classes and 1 channel at 48 px, 169,056 for 8. No batch norm, no dropout.

    width: channels of the first convolution (6), of which the second has 8/3
    size: side of the square images, at least 16; the first linear layer is made for it
    """

    cam_layer = "features.relu2"

    def __init__(self, *, channels: int = 1, classes: int = 7, size: int = 48, width: int = 6) -> None:
        super().__init__()
        at_least(16, size, "LeNet")
        wide = width * 8 // 3
        self.features = in_turn(
            conv1=nn.Conv2d(channels, width, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(width, wide, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
        )
        side = ((size - 4) // 2 - 4) // 2
        self.classifier = dense_head(wide * side * side, 120, 84, classes)

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, size, size) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


class LeNet5BN(nn.Module):
    """Three blocks of convolution, batch norm, ReLU and pooling, three linear layers with dropout; source 002.

    The source says no more than that: its widths and rates are lost, and these are ours. 1,306,823 parameters for
    7 classes and 1 channel at 48 px.

    width: channels of the first block, doubled by each further one; dense: outputs of the first linear layer, of which
        the second has half
    dropout: behind either
    size: side of the square images, at least 8; the first linear layer is made for it
    """

    cam_layer = "blocks.2.relu"

    def __init__(
        self,
        *,
        channels: int = 1,
        classes: int = 7,
        size: int = 48,
        width: int = 32,
        dense: int = 256,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        at_least(8, size, "LeNet-5 (batch norm)")
        widths = (channels, width, 2 * width, 4 * width)
        self.blocks = nn.Sequential(*(conv_block(*ends) for ends in pairwise(widths)))
        flat = widths[-1] * (size // 8) ** 2
        self.classifier = dense_head(flat, dense, dense // 2, classes, dropout=[dropout, dropout])

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, size, size) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.blocks(images).flatten(1))
        return logits
