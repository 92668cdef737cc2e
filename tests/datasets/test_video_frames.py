import cv2
import numpy as np
import pytest
import torch

from inspect_fer.datasets import video_frames
from inspect_fer.datasets.video_frames import Frame, frame_count, read_frames
from inspect_fer.errors import DataError


@pytest.fixture(scope="module", params=["MJPG", "XVID"])
def video(request, tmp_path_factory):
    """150 frames of 64 x 48, all different; MJPG codes each alone, XVID by what changes."""
    path = tmp_path_factory.mktemp("video") / "faces.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*request.param), 20, (64, 48))
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for number in range(150):
        frame = np.roll(noise, number, axis=1)
        frame[:10] = number
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture(scope="module")
def every_frame(video):
    """All frames one after another, RGB, (150, 3, 48, 64)."""
    capture, frames = cv2.VideoCapture(str(video)), []
    while True:
        done, picture = capture.read()
        if not done:
            break
        frames.append(torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1))
    capture.release()
    return torch.stack(frames)


@pytest.mark.parametrize("step_over", [0, 48, 1000])
@pytest.mark.parametrize("rows", [[0], [149, 0, 75], [100, 3, 3, 99, 101, 2], list(range(0, 150, 7))])
def test_a_frame_is_the_one_that_plain_decoding_gives(video, every_frame, rows, step_over, monkeypatch):
    monkeypatch.setattr(video_frames, "STEP_OVER", step_over)
    found = read_frames([Frame(video, row) for row in rows], size=48, channels=3)
    assert torch.equal(found, every_frame[rows][:, :, :, 8:56])


def test_grey_and_another_size(video):
    assert read_frames([Frame(video, 5)], size=20, channels=1).shape == (1, 1, 20, 20)
    assert frame_count(video) == 150


def test_a_frame_after_the_end_and_no_video(video, tmp_path):
    with pytest.raises(DataError, match="faces.avi ends before frame 150"):
        read_frames([Frame(video, 150)], size=20, channels=1)
    with pytest.raises(DataError, match="nothing.avi cannot be read as a video"):
        frame_count(tmp_path / "nothing.avi")
