"""Residual networks. He et al., CVPR 2016, arXiv:1512.03385; with the stem of source 000 for small grey faces."""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from inspect_fer.errors import ConfigError


class SmallStemResNet18(ResNet):  # type: ignore[misc]
    """torchvision's ResNet-18 whose first convolution is 3x3 with stride 1; source 000.

    11,171,271 parameters for 7 classes and 1 channel. Global average pooling and one linear layer close it, so that
    CAM applies. size: side of the square images, at least 16.
    """

    cam_layer = "layer4"

    def __init__(self, *, channels: int = 1, classes: int = 7, size: int = 48) -> None:
        if size < 16:
            raise ConfigError(f"ResNet-18 halves its map four times and needs images of 16 or more, not {size}.")
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=classes)
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, K)."""
        logits: Tensor = super().forward(x)
        return logits
