import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import mobilenet_v2

from inspect_fer.errors import CheckpointError
from inspect_fer.models import build
from inspect_fer.models.checkpoint import load, save
from inspect_fer.schema import Classifier, ModelCard

NARROW = {"width": 0.1}


@pytest.fixture(scope="module")
def pretrained():
    """Of ten classes, with batch norms that know some images, so that its features are of ordinary size."""
    torch.manual_seed(7)
    network = mobilenet_v2(num_classes=10, width_mult=0.1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    images = torch.randn(8, 3, 48, 48)
    with torch.no_grad():
        network(images)
        assert network.eval().features(images).std() > 0.1
    return network


@pytest.fixture(params=["net.pth", "net.safetensors"])
def weights(request, pretrained, tmp_path):
    path = tmp_path / request.param
    if path.suffix == ".pth":
        torch.save(pretrained.state_dict(), path)
    else:
        save_file(pretrained.state_dict(), path)
    return path


def transfer(channels=3, **options):
    return build("mobilenet_v2_transfer", channels=channels, options={**NARROW, **options})


def test_the_backbone_comes_from_the_file_and_the_last_layer_does_not(pretrained, weights):
    network = transfer(weights=str(weights)).eval()
    images = torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(network.features(images), pretrained.features(images))
        assert network(images).shape == (1, 7)
        assert not torch.equal(transfer().eval().features(images), pretrained.features(images))


def test_one_channel_answers_as_three_equal_ones(pretrained, weights):
    network = transfer(channels=1, weights=str(weights)).eval()
    image = torch.randn(1, 1, 48, 48)
    with torch.no_grad():
        expected = pretrained.features(image.expand(1, 3, 48, 48))
        torch.testing.assert_close(network.features(image), expected, rtol=0, atol=1e-3)  # of 0 to 6


def test_a_checkpoint_needs_the_file_no_more(weights, tmp_path):
    options = {**NARROW, "weights": str(weights)}
    network = transfer(weights=str(weights)).eval()
    card = ModelCard(
        "mobilenet_v2_transfer", tuple("abcdefg"), (3, 48, 48), (0.5,) * 3, (0.2,) * 3, "features", options=options
    )
    save(Classifier(network, card), tmp_path / "trained.safetensors")
    weights.unlink()
    again = load(tmp_path / "trained.safetensors")
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in again.network.state_dict().items())
    assert again.card == card


def learning_from(network, first):
    """How many parameters learn when all before the module `first` is frozen."""
    names = [name for name, _ in network.named_parameters()]
    start = next(place for place, name in enumerate(names) if name.startswith(f"{first}."))
    return sum(weights.numel() for weights in list(network.parameters())[start:])


def test_the_two_phases_of_source_001():
    with torch.device("meta"):
        network = build("mobilenet_v2_transfer", channels=3)
    assert learning_from(network, "classifier") == 8_967
    assert learning_from(network, "features.12.conv.1") == 1_870_407


def test_files_that_do_not_fit(pretrained, tmp_path):
    state = pretrained.state_dict()
    wrong = {
        "less.pth": {name: value for name, value in state.items() if name != "features.3.conv.3.bias"},
        "more.pth": state | {"features.99.bias": torch.zeros(1)},
        "wide.pth": mobilenet_v2(num_classes=10, width_mult=0.2).state_dict(),
    }
    for name, content in wrong.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(CheckpointError, match="does not hold the weights of torchvision's mobilenet_v2"):
            transfer(weights=str(tmp_path / name))
    with pytest.raises(CheckpointError, match="There are no weights .*; name the file at `weights`"):
        transfer(weights=str(tmp_path / "nowhere.pth"))
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        transfer(weights=str(tmp_path / "torn.safetensors"))
    torch.save(pretrained, tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match="Nothing of it was run"):
        transfer(weights=str(tmp_path / "whole.pth"))
