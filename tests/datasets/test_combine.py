import pytest
import torch

from inspect_fer.datasets import samples
from inspect_fer.datasets.combine import combined, tags
from inspect_fer.emotions import CANONICAL, SIX
from inspect_fer.errors import ConfigError, DataError
from inspect_fer.schema import Samples

SMALL = {"size": 24, "channels": 1}


def test_tags():
    assert tags(["folder", "rafdb", "folder", "folder"]) == ["folder", "rafdb", "folder.2", "folder.3"]


def test_rows_and_pixels_are_those_of_the_parts(shared_miniature):
    specs = [shared_miniature(layout) for layout in ("fer2013", "rafdb", "ckplus48")]
    both = samples("+".join(specs), "test", **SMALL)
    parts = [samples(spec, "test", **SMALL) for spec in specs]
    assert both.ids == tuple(name for part in parts for name in part.ids)
    assert torch.equal(both.pixels[:], torch.cat([part.pixels[:] for part in parts]))
    assert both.class_names == CANONICAL
    names = [part.class_names[label] for part in parts for label in part.labels.tolist()]
    assert [both.class_names[label] for label in both.labels.tolist()] == names
    assert not isinstance(both.pixels, torch.Tensor)
    shuffled = torch.randperm(len(both))
    assert torch.equal(both[shuffled].pixels[:], both.pixels[:][shuffled])


def test_datasets_in_memory_stay_there(shared_miniature):
    both = samples(f"{shared_miniature('fer2013')}+synthetic:7", "test")
    assert isinstance(both.pixels, torch.Tensor)
    assert both.class_names == samples("synthetic:7").class_names  # both have this order


def test_the_same_kind_twice_gets_numbers(shared_miniature):
    both = samples(f"{shared_miniature('folder')}+synthetic:3+{shared_miniature('folder')}+synthetic:3?seed=1", "test")
    assert [name.partition("/")[0] for name in both.ids if name.endswith("/2")] == ["synthetic", "synthetic.2"]
    assert {name.partition("/")[0] for name in both.ids} == {"folder", "folder.2", "synthetic", "synthetic.2"}


def test_dropped_rows_say_where(shared_miniature):
    both = samples(f"{shared_miniature('ferplus')}+{shared_miniature('affectnet')}", "test", classes="six", **SMALL)
    assert both.dropped == {
        "ferplus: no majority": 1,
        "ferplus: no image name": 1,
        "ferplus: neutral: not one of the classes asked for": 2,
        "ferplus: contempt: not one of the classes asked for": 2,
        "affectnet: none": 2,
        "affectnet: uncertain": 2,
        "affectnet: non-face": 2,
        "affectnet: neutral: not one of the classes asked for": 2,
        "affectnet: contempt: not one of the classes asked for": 2,
    }


def test_people_are_kept_where_every_part_knows_them(shared_miniature):
    people, nobody = f"{shared_miniature('ckplus')}+{shared_miniature('tfeid')}", shared_miniature("rafdb")
    found = samples(people, "train", **SMALL)
    assert {name.partition("/")[0] for name in found.subjects} == {"ckplus", "tfeid"}
    assert samples(f"{people}+{nobody}", "train", **SMALL).subjects is None


def test_votes_are_kept_where_every_part_has_them(shared_miniature):
    spec = shared_miniature("ferplus")
    twice = samples(f"{spec}+{spec}", "test")
    assert torch.equal(twice.votes, samples(spec, "test").votes.repeat(2, 1))
    assert samples(f"{spec}+{shared_miniature('fer2013')}", "test").votes is None


def test_planted_truth_is_kept_where_every_part_has_it():
    both = samples("synthetic:7?wrong_labels=0.5+synthetic:7", "test")
    assert (both.truth["label"] != both.labels).sum() == 4
    assert both.evidence.shape == (14, 48, 48)


def test_sizes_must_be_one(shared_miniature):
    spec = f"{shared_miniature('fer2013')}+{shared_miniature('rafdb')}"
    with pytest.raises(
        DataError, match="different sizes: fer2013 1 x 48 x 48, rafdb 3 x 100 x 100. Give size and chann"
    ):
        samples(spec, "test")
    assert samples(f"{spec}?size=32&channels=3", "test").pixels.shape[1:] == (3, 32, 32)


def test_the_view_behind_the_last_holds_for_all_and_behind_another_for_that(shared_miniature):
    first, second = shared_miniature("fer2013"), shared_miniature("ferplus")
    assert samples(f"{first}+{second}?classes=six", "test").class_names == SIX
    assert samples(f"{first}+{second}", "test", classes="six").class_names == SIX
    mixed = samples(f"{second}?classes=six+{first}", "test")
    assert mixed.class_names == CANONICAL[:7]
    assert [name for name in mixed.dropped if "contempt" in name]


def test_options_go_to_the_datasets_that_know_them(shared_miniature):
    spec = f"{shared_miniature('fer2013')}+{shared_miniature('ferplus')}"
    assert len(samples(spec, "test", mode="crossentropy")) == len(samples(spec + "?mode=crossentropy", "test"))
    assert len(samples(spec, "test", mode="multi_target")) > len(samples(spec, "test"))
    with pytest.raises(ConfigError, match="No option of fer2013\\+ferplus is called 'mood'. Did you mean 'mode'"):
        samples(spec, "test", mood="crossentropy")


def test_a_part_that_is_not_in_a_split_still_gives_its_classes(shared_miniature):
    spec = f"{shared_miniature('fer2013')}+{shared_miniature('affectnet')}?select=none"
    select = samples(spec, "select", **SMALL)
    assert {name.partition("/")[0] for name in select.ids} == {"fer2013"}
    assert select.class_names == samples(spec, "train", **SMALL).class_names == CANONICAL
    with pytest.raises(DataError, match="None of the datasets takes part in the split select. Training needs"):
        samples(spec.replace("+", "?select=none+"), "select", **SMALL)


def test_the_source_reads_a_combination_again(shared_miniature):
    spec = f"{shared_miniature('fer2013')}?test=PublicTest+PrivateTest&select=none+{shared_miniature('rafdb')}"
    first = samples(spec, "test", classes="six", **SMALL)
    again = samples(first.source["spec"], first.source["split"], **first.source["options"])
    assert again.ids == first.ids
    assert torch.equal(again.pixels[:], first.pixels[:])


def test_the_aggregate_of_source_003(shared_miniature):
    """Its pool: RAF-DB, FER2013, AffectNet in folders, CK+ and TFEID whole in train; RAF-DB and FER2013 in test."""
    whole = "train=all&select=none&test=none"
    spec = "+".join(
        (
            f"{shared_miniature('rafdb')}?train=train_all&select=none",
            f"{shared_miniature('fer2013')}?select=none&test=PublicTest+PrivateTest",
            f"{shared_miniature('ckplus')}?{whole}",
            f"{shared_miniature('tfeid')}?{whole}",
            f"{shared_miniature('folder')}?select=test&test=none&classes=six&size=64&channels=3",
        )
    )
    found = {split: samples(spec, split) for split in ("train", "select", "test")}
    kinds = {split: sorted({name.partition("/")[0] for name in part.ids}) for split, part in found.items()}
    assert kinds == {
        "train": ["ckplus", "fer2013", "folder", "rafdb", "tfeid"],
        "select": ["folder"],
        "test": ["fer2013", "rafdb"],
    }
    assert len(found["train"]) == 6 * (2 + 2 + 4 + 4 + 2)
    assert len(found["test"]) == 6 * (2 + 4)
    for part in found.values():
        assert part.class_names == SIX
        assert part.pixels.shape[1:] == (3, 64, 64)
        assert part.labels.min() >= 0
    assert not set(found["train"].ids) & {*found["select"].ids, *found["test"].ids}


def test_unlabelled_rows_stay_unlabelled():
    plain = Samples(("a/1",), torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.tensor([-1]), ())
    named = Samples(("b/1",), torch.ones(1, 1, 2, 2, dtype=torch.uint8), torch.tensor([0]), ("fear",))
    both = combined([("a", plain), ("b", named)], ("fear",))
    assert both.labels.tolist() == [-1, 0]
