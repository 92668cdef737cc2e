"""What the tests of CAM methods share: tensors to try formulas on, and independent libraries asked for raw maps."""

import numpy as np
import pytest
import torch


@pytest.fixture
def features(generator):
    """(2, 3, 4, 5) of both signs in double precision, with one dead channel."""
    values = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    values[1, 2] = 0
    return values


@pytest.fixture
def gradients(generator):
    """(2, 2, 3, 4, 5) of both signs in double precision, with zeros among them."""
    values = torch.randn(2, 2, 3, 4, 5, generator=generator, dtype=torch.float64)
    values[0, 1, 1] = 0
    values[1, 0, :, 0] = 0
    return values


@pytest.fixture
def even(features):
    """Gradients that repeat one value over the map, as a view: what a linear head gives. (2, 2, 3, 4, 5)."""
    values = torch.tensor([[0.5, -1.0, 0.0], [-0.25, 2.0, 1.0]], dtype=torch.float64)
    return values[None, :, :, None, None].expand(2, 2, 3, 4, 5)


@pytest.fixture
def leaves_alone(features, gradients, even):
    """Whether a formula leaves features and gradients as they were given, for what comes after it."""

    def check(formula):
        for given in (gradients, even):
            before = features.clone(), given.clone()
            formula(features, given)
            torch.testing.assert_close((features, given), before, rtol=0, atol=0)

    return check


@pytest.fixture
def each_target(features):
    """Compare maps (N, T, h, w) with a formula written out for one image and one class, for all of them."""

    def check(maps, by_hand, gradients):
        for image, target in ((i, t) for i in range(maps.shape[0]) for t in range(maps.shape[1])):
            torch.testing.assert_close(maps[image, target], by_hand(features[image], gradients[image, target]))

    return check


@pytest.fixture(scope="session")
def state_of():
    """Everything that a call might leave behind on a network, and random states, to compare before with after."""

    def state(network):
        tensors = [*network.parameters(), *network.buffers()]
        inside = [(key, value) for module in network.modules() for key, value in vars(module).items()]
        return {
            "training": [module.training for module in network.modules()],
            "hooks": [len(value) for key, value in inside if "hooks" in key],
            "modules": [(name, id(module)) for name, module in network.named_modules()],
            "tensors": [(id(each), each.data_ptr(), each._version, each.requires_grad) for each in tensors],
            "sums": [float(each.detach().sum()) for each in tensors],
            "gradients": [(id(each.grad), each.grad is not None and float(each.grad.sum())) for each in tensors],
            "random": (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), np.random.get_state()[2]),
        }

    return state


@pytest.fixture(params=["tiny", "mlp"])
def model(request, make_model):
    return make_model(request.param)


@pytest.fixture
def raw_pytorch_grad_cam():
    """Ask pytorch-grad-cam for the map (N, h, w) of a class, before its ReLU, scaling and resizing."""
    peer = pytest.importorskip("pytorch_grad_cam")
    outputs = pytest.importorskip("pytorch_grad_cam.utils.model_targets")

    def ask(kind, model, images, target, wanted="ClassifierOutputTarget"):
        layer = model.network.get_submodule(model.card.cam_layer)
        targets = [getattr(outputs, wanted)(target)] * len(images)
        with getattr(peer, kind)(model=model.network, target_layers=[layer]) as extractor:
            kept = extractor.activations_and_grads
            seen = []
            extractor.compute_cam_per_layer = lambda *_: seen.append((kept.activations[0], *kept.gradients[:1])) or []
            extractor.aggregate_multi_layers = lambda _: None
            extractor(input_tensor=images, targets=targets)
            found = (*seen[0], None)[:2]
            if extractor.detach:
                found = [values if values is None else values.numpy() for values in found]
            return torch.as_tensor(extractor.get_cam_image(images, layer, targets, *found, False))

    return ask


@pytest.fixture
def raw_torchcam():
    """Ask torchcam for the map (N, h, w) of a class, after the ReLU that most of its methods end with."""
    methods = pytest.importorskip("torchcam.methods")

    def ask(kind, model, images, target, **options):
        with getattr(methods, kind)(model.network, model.card.cam_layer, **options) as extractor:
            (found,) = extractor(target, model.network(images), normalized=False)
        return found.detach()

    return ask
