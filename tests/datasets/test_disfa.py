import pytest
import torch

from inspect_fer.datasets.disfa import load_disfa
from inspect_fer.errors import DataError, UnknownNameError
from inspect_fer.schema import Samples

SMALL = {"size": 16, "channels": 1}


@pytest.fixture
def folder(tree):
    return tree("disfa", per_class=2)


def test_labels_follow_the_action_units_of_the_frame(folder):
    """The miniature shows each of five emotions in four frames, then none in four, then happiness in one."""
    found = load_disfa(folder, "all", every=1, **SMALL)
    order = ["happiness", "surprise", "disgust", "sadness", "fear", None]
    for name, label, subject in zip(found.ids, found.labels.tolist(), found.subjects, strict=True):
        _, _, person, side, frame = name.split("/")
        assert (person, side) == (subject, "left")
        expected = [emotion for emotion in order for _ in range(4)][int(frame) - 1] if int(frame) < 25 else "happiness"
        assert expected == (found.class_names[label] if label >= 0 else None)
    assert found.source["undetermined"] == 12
    assert found.dropped == {"no action-unit label": 1}  # the line that SN002 lacks


def test_undetermined_frames_are_kept_or_dropped(folder):
    kept, without = (load_disfa(folder, "all", every=2, undetermined=way, **SMALL) for way in ("keep", "drop"))
    assert (kept.labels < 0).sum() == 6
    assert without.dropped == {"undetermined": 6, "no action-unit label": 1}
    assert set(without.ids) == {name for name, label in zip(kept.ids, kept.labels, strict=True) if label >= 0}


def test_one_frame_of_so_many_from_both_cameras(folder):
    left = load_disfa(folder, "all", every=8, **SMALL)
    assert [name.rsplit("/", 1)[1] for name in left.ids if "SN001" in name] == ["00001", "00009", "00017", "00025"]
    both = load_disfa(folder, "all", every=8, camera="both", **SMALL)
    right = load_disfa(folder, "all", every=8, camera="right", **SMALL)
    assert set(both.ids) == {*left.ids, *right.ids}
    assert len(both) == 2 * len(left)


def test_a_threshold_above_what_is_shown_leaves_nothing_determined(folder):
    assert (load_disfa(folder, "all", threshold=4, **SMALL).labels == -1).all()


def test_whatever_the_case_of_the_names(folder):
    before = load_disfa(folder, "all", **SMALL)
    video = folder / "Videos_LeftCamera" / "LeftVideoSN001_comp.avi"
    video.rename(video.with_name("leftvideosn001_Comp.AVI"))
    labels = folder / "ActionUnit_Labels" / "SN001" / "SN001_au1.txt"
    labels.rename(labels.with_name("sn001_AU1.txt"))
    assert load_disfa(folder, "all", **SMALL).ids == before.ids


def test_pixels_are_read_from_the_video_in_any_order(folder):
    found = load_disfa(folder, "all", every=2, size=48, channels=3)
    assert isinstance(found, Samples)
    pixels = found.pixels[:]
    assert pixels.shape == (len(found), 3, 48, 48)
    order = torch.randperm(len(found))
    assert torch.equal(found[order].pixels[:], pixels[order])
    assert pixels[0].float().std() > 10
    assert not torch.equal(pixels[0], pixels[1])


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"every": 0}, DataError, "every is 1 or more and threshold 1 to 5, not 0 and 2"),
        ({"threshold": 6}, DataError, "not 20 and 6"),
        ({"camera": "top"}, UnknownNameError, "No camera of DISFA is called 'top'"),
        ({"undetermined": "droop"}, UnknownNameError, "Did you mean 'drop'"),
    ],
)
def test_options_that_make_no_sense(folder, options, kind, says):
    with pytest.raises(kind, match=says):
        load_disfa(folder, **options)


def test_missing_and_damaged_files(folder, tmp_path):
    labels = folder / "ActionUnit_Labels" / "SN001" / "SN001_au9.txt"
    text = labels.read_text()
    labels.write_text(text.replace("3,0", "3,6"))
    with pytest.raises(DataError, match="SN001_au9.txt, row 2: expected FRAME,INTENSITY with an intensity of 0 to 5"):
        load_disfa(folder)
    labels.unlink()
    with pytest.raises(DataError, match="has no labels of SN001 for action unit 9"):
        load_disfa(folder)
    labels.write_text(text)
    (folder / "Videos_LeftCamera" / "LeftVideoSN003_comp.avi").write_bytes(b"RIFF nothing")
    with pytest.raises(DataError, match="LeftVideoSN003_comp.avi cannot be read as a video"):
        load_disfa(folder)
    with pytest.raises(DataError, match="holds no videos; DISFA has files such as Videos_LeftCamera"):
        load_disfa(tmp_path / "nowhere")
    for path in (folder / "Videos_LeftCamera").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="holds no videos"):
        load_disfa(folder)
    assert len(load_disfa(folder, "all", camera="right", **SMALL))


def test_a_video_without_labels_of_its_person(folder):
    video = folder / "Videos_LeftCamera" / "LeftVideoSN001_comp.avi"
    video.rename(video.with_name("LeftVideoSN099_comp.avi"))
    with pytest.raises(DataError, match="has no labels of SN099 for action unit 1, 2, 4"):
        load_disfa(folder)
