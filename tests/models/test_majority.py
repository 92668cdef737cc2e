import torch
from torch.nn.functional import cross_entropy

from inspect_fer.explain import METHODS, explain
from inspect_fer.models import build
from inspect_fer.schema import Classifier, ModelCard


def test_it_learns_the_frequencies_of_the_classes_and_says_the_commonest():
    network, images = build("majority", classes=3), torch.rand(10, 1, 48, 48)
    labels = torch.tensor([1, 1, 1, 1, 1, 0, 0, 0, 2, 2])
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    for _ in range(300):
        optimizer.zero_grad()
        cross_entropy(network(images), labels).backward()
        optimizer.step()
    torch.testing.assert_close(network(images).softmax(1), torch.tensor([[0.3, 0.5, 0.2]]).expand(10, 3))
    assert network(images).argmax(1).tolist() == [1] * 10


def test_nothing_in_the_picture_matters():
    network = build("majority", classes=3)
    with torch.no_grad():
        network.bias += torch.tensor([0.0, 1.0, 2.0])
    images = torch.rand(2, 1, 48, 48, requires_grad=True)
    (slope,) = torch.autograd.grad(network(images).sum(), images)
    assert (slope == 0).all()
    model = Classifier(network.eval(), ModelCard("majority", ("a", "b", "c"), (1, 48, 48), (0.5,), (0.25,)))
    maps = explain(model, images.detach(), METHODS["occlusion"](window=16, stride=16), targets="all").maps
    assert maps.shape == (2, 3, 3, 3)
    assert (maps == 0).all()
