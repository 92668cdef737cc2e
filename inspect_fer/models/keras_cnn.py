"""The convolutional network of source 001, a Keras Sequential in the original."""

from torch import Tensor, nn

from inspect_fer.models.blocks import at_least, dense_head, in_turn


class KerasCNN4(nn.Module):
    """Four convolutions of 3x3 without padding, three poolings, two linear layers; source 001.

    2,345,607 parameters for 7 classes and 1 channel at 48 px, where a map of 4x4 is flattened.

    width: channels of the first convolution (32), then twice, four and four times as many
    dense: outputs of the first linear layer; dropout: behind it; block_dropout: behind the first and third pooling
    size: side of the square images, at least 24; the first linear layer is made for it
    """

    cam_layer = "features.relu4"

    def __init__(
        self,
        *,
        channels: int = 1,
        classes: int = 7,
        size: int = 48,
        width: int = 32,
        dense: int = 1024,
        dropout: float = 0.5,
        block_dropout: float = 0.25,
    ) -> None:
        super().__init__()
        at_least(24, size, "Keras CNN")
        self.features = in_turn(
            conv1=nn.Conv2d(channels, width, 3),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, 2 * width, 3),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            dropout2=nn.Dropout(block_dropout),
            conv3=nn.Conv2d(2 * width, 4 * width, 3),
            relu3=nn.ReLU(),
            pool3=nn.MaxPool2d(2),
            conv4=nn.Conv2d(4 * width, 4 * width, 3),
            relu4=nn.ReLU(),
            pool4=nn.MaxPool2d(2),
            dropout4=nn.Dropout(block_dropout),
        )
        side = (((size - 4) // 2 - 2) // 2 - 2) // 2
        self.classifier = dense_head(4 * width * side * side, dense, classes, dropout=[dropout])

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, size, size) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits
