"""Residual networks. He et al., CVPR 2016, arXiv:1512.03385; with the stem of source 000 for small grey faces."""

from dataclasses import dataclass

from torch import nn

from inspect_fer.errors import ConfigError


@dataclass(frozen=True)
class SmallStemResNet:
    """Builds torchvision's ResNet with a first convolution of 3x3 and stride 1; source 000.

    blocks: basic blocks in each of the four stages; (2, 2, 2, 2) is ResNet-18, with 11,171,271 parameters for 7
        classes and 1 channel
    Global average pooling and one linear layer close the network, so that CAM applies.
    """

    blocks: tuple[int, int, int, int]
    cam_layer: str = "layer4"

    def __call__(self, *, channels: int = 1, classes: int = 7, size: int = 48) -> nn.Module:
        """Build it with fresh weights. size: side of the square images, at least 16. Raises ConfigError."""
        from torchvision.models.resnet import BasicBlock, ResNet  # takes seconds, and other networks do without

        if size < 16:
            raise ConfigError(f"A ResNet halves its map four times and needs images of 16 or more, not {size}.")
        network: nn.Module = ResNet(BasicBlock, list(self.blocks), num_classes=classes)
        network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        return network
