"""MobileNetV2 from scratch (source 000) and from ImageNet (source 001). Sandler et al., CVPR 2018, arXiv:1801.04381."""

from pathlib import Path

from torch import nn

from inspect_fer.errors import CheckpointError
from inspect_fer.models.blocks import at_least, take_channels
from inspect_fer.models.weights import read_state_dict


def mobilenet_v2(
    *, channels: int = 1, classes: int = 7, size: int = 48, width: float = 1.0, dropout: float = 0.2
) -> nn.Module:
    """Build torchvision's MobileNetV2 with fresh weights; source 000.

    2,232,263 parameters for 7 classes and 1 channel, 2,233,544 for 8. At 48 px the last map is 2x2.

    width: by how much every layer is wider; dropout: before the linear layer, which closes the network behind global
        average pooling, so that CAM applies
    size: side of the square images, at least 32; the weights do not depend on it. Raises ConfigError.
    """
    from torchvision.models.mobilenetv2 import MobileNetV2  # takes seconds, and other networks do without

    at_least(32, size, "MobileNetV2")
    network: nn.Module = MobileNetV2(num_classes=classes, width_mult=width, dropout=dropout)
    take_channels(network, channels)
    return network


def mobilenet_v2_transfer(
    *,
    channels: int = 1,
    classes: int = 7,
    size: int = 48,
    width: float = 1.0,
    dropout: float = 0.2,
    weights: str = "",
) -> nn.Module:
    """Build MobileNetV2 around the weights of another training, such as torchvision's on ImageNet; source 001.

    2,232,839 parameters for 7 classes and 3 channels. The source first trains `classifier` alone (8967 parameters),
    then all from layer 100 of Keras's 154 on, which here is `features.12.conv.1` (1,870,407).

    weights: path to a state dict of torchvision's mobilenet_v2 (.pth or .safetensors, such as
        https://download.pytorch.org/models/mobilenet_v2-b0353104.pth), of which the last layer is left out; for one
        channel the filters of three are summed. They are not read when a checkpoint brings weights of its own.

    Raises CheckpointError for a file that is no such state dict, ConfigError for too small a size.
    """
    network = mobilenet_v2(channels=channels, classes=classes, size=size, width=width, dropout=dropout)
    if weights and not next(network.parameters()).is_meta:
        _take_backbone(network, Path(weights).expanduser(), channels)
    return network


def _take_backbone(network: nn.Module, path: Path, channels: int) -> None:
    """Give the network all weights of the file but those of its last layer."""
    found = {name: value for name, value in read_state_dict(path).items() if not name.startswith("classifier.")}
    stem = found.get("features.0.0.weight")
    if channels == 1 and stem is not None:
        found["features.0.0.weight"] = stem.sum(dim=1, keepdim=True)  # what three equal channels would give
    wanted = {name: value.shape for name, value in network.state_dict().items() if not name.startswith("classifier.")}
    wrong = [name for name, shape in wanted.items() if name not in found or found[name].shape != shape]
    if wrong or found.keys() - wanted.keys():
        raise CheckpointError(
            f"{path} does not hold the weights of torchvision's mobilenet_v2 for images of 3 channels (or 1); the "
            f"first that does not fit is {[*wrong, *sorted(found.keys() - wanted.keys())][0]}."
        )
    network.load_state_dict(found, strict=False)
