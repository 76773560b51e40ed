"""Figures of the benchmark against closed forms, against other programs' values, and on answers whose rank is known."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench_items import two_people
from mild.lab.bench.items import make_trial, single
from mild.lab.bench.metrics import fidelity
from mild.lab.bench.metrics.features import cmmd, frechet
from mild.lab.bench.metrics.layered import layer_figures, order_accuracy
from mild.lab.bench.metrics.leakage import SIGMA, leakage, truth_owner
from mild.lab.bench.metrics.score import Scoring, around, composited, score
from mild.layers import Layer, LayerStack
from mild.people.scene import Box

NO_FINDER = Scoring(finder=None, flip=False)


def pictures() -> tuple[NDArray[np.uint8], dict[str, NDArray[np.uint8]]]:
    """192 x 256: soft colours; the same with noise, blurred, and shifted by two pixels."""
    rng = np.random.default_rng(7)
    base = cv2.resize(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), (256, 192), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)
    return base, {"noisy": noisy, "blurred": cv2.GaussianBlur(base, (0, 0), 3), "shifted": np.roll(base, 2, 1)}


#: What piq 0.8.0 gives for these pictures in double precision (it cannot be installed without torchvision).
PIQ = {
    "noisy": {"gmsd": 0.02807644124228576, "haarpsi": 0.9019349351473304, "ms_ssim": 0.9696916372642311},
    "blurred": {"gmsd": 0.010578099637686317, "haarpsi": 0.9688619578778457, "ms_ssim": 0.9890201047958875},
    "shifted": {"gmsd": 0.06222914751426638, "haarpsi": 0.8017173790428754, "ms_ssim": 0.9674172525868362},
}


@pytest.mark.parametrize("kind", PIQ)
@pytest.mark.parametrize("name", ["gmsd", "haarpsi", "ms_ssim"])
def test_similarities_agree_with_piq(kind: str, name: str) -> None:
    truth, answers = pictures()
    assert getattr(fidelity, name)(answers[kind], truth) == pytest.approx(PIQ[kind][name], abs=1e-4)


def test_ssim_agrees_with_piq_inside_the_border() -> None:
    truth, answers = pictures()
    expected = {"noisy": 0.6819684599700935, "blurred": 0.9744493793465594, "shifted": 0.9395480866425622}
    for kind, value in expected.items():
        assert fidelity.ssim_map(answers[kind], truth)[5:-5, 5:-5].mean() == pytest.approx(value, abs=1e-4)


def holed(truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The truth with noise in a hole, as a composited answer is."""
    answer = truth.copy()
    answer[30:70, 5:60] = np.random.default_rng(3).integers(0, 256, (40, 55, 3), dtype=np.uint8)
    return answer


def test_ssim_is_scikit_image_s() -> None:
    from skimage.metrics import structural_similarity

    truth, answers = pictures()
    for answer in (*answers.values(), holed(truth)):
        _, expected = structural_similarity(
            truth, answer, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )  # fmt: skip
        assert np.abs(fidelity.ssim_map(answer, truth) - expected.mean(2)).max() < 1e-6


def test_flip_of_a_hole_s_surroundings_is_flip_of_the_whole() -> None:
    """Only the box of what differs is measured; a reach one pixel too short would show here."""
    evaluator = pytest.importorskip("flip_evaluator")
    truth, _ = pictures()
    answer = holed(truth)
    whole = [x.astype(np.float32) / np.float32(255) for x in (truth, answer)]
    expected, _, _ = evaluator.evaluate(*whole, "LDR", applyMagma=False, computeMeanError=False, parameters={})
    found = fidelity.flip_map(answer, truth)
    assert np.abs(found - expected[..., 0]).max() < 1e-6
    assert (found > 0).sum() > 40 * 55
    assert fidelity.flip_map(truth, truth).max() == 0


def test_identical_pictures_are_perfect_and_worse_ones_rank_lower() -> None:
    truth, answers = pictures()
    assert fidelity.psnr(truth, truth) == fidelity.PSNR_CAP
    assert fidelity.ssim_map(truth, truth).min() == pytest.approx(1)
    assert fidelity.ms_ssim(truth, truth) == pytest.approx(1)
    assert fidelity.haarpsi(truth, truth) == pytest.approx(1)
    assert fidelity.gmsd(truth, truth) == 0
    noise = np.random.default_rng(0).integers(0, 256, truth.shape, dtype=np.uint8)
    far = np.roll(truth, 12, 1)
    for measure, sign in ((fidelity.psnr, 1), (fidelity.haarpsi, 1), (fidelity.gmsd, -1)):
        one, two, three = (sign * measure(x, truth) for x in (answers["shifted"], far, noise))
        assert one > two > three, measure


@given(st.integers(1, 255), st.integers(0, 255))
@settings(max_examples=20, deadline=None)
def test_psnr_of_a_constant_error_is_its_closed_form(error: int, level: int) -> None:
    truth = np.full((8, 9, 3), level, np.uint8)
    answer = np.full_like(truth, level + error if level + error < 256 else level - error if level >= error else 255)
    real = abs(int(answer[0, 0, 0]) - level)
    expected = fidelity.PSNR_CAP if real == 0 else 20 * math.log10(255 / real)
    assert fidelity.psnr(answer, truth) == pytest.approx(expected, abs=1e-4)
    where = np.zeros((8, 9), bool)
    where[0, 0] = True
    assert fidelity.psnr(answer, truth, where) == pytest.approx(expected, abs=1e-4)


def test_flip_is_zero_for_the_same_and_near_one_for_black_and_white() -> None:
    pytest.importorskip("flip_evaluator")
    white = np.full((64, 64, 3), 255, np.uint8)
    assert fidelity.flip_map(white, white).max() == 0
    # The FLIP paper: the largest colour difference is mapped to one.
    assert 0.9 < fidelity.flip_map(np.zeros_like(white), white).mean() <= 1


def test_sharpness_of_a_contrast_halved_is_one_half() -> None:
    rng = np.random.default_rng(1)
    truth = np.repeat(rng.integers(0, 128, (40, 40, 1)) * 2, 3, 2).astype(np.uint8)
    hole = np.zeros((40, 40), bool)
    hole[8:32, 8:32] = True
    assert fidelity.sharpness(truth, truth, hole) == pytest.approx(1)
    assert fidelity.sharpness((truth // 2).astype(np.uint8), truth, hole) == pytest.approx(0.5, abs=1e-4)
    assert fidelity.sharpness(truth, np.full_like(truth, 7), hole) is None


def test_a_seam_is_seen_and_a_true_edge_of_a_kept_person_is_not() -> None:
    flat = np.full((40, 40, 3), 100, np.uint8)
    hole = np.zeros((40, 40), bool)
    hole[10:30, 10:30] = True
    nobody = np.zeros_like(hole)
    assert fidelity.seam(flat, hole, nobody) == pytest.approx(1)
    stepped = flat.copy()
    stepped[hole] = 150
    # A step of 50 beside steps of 0: (50 + .5) / (0 + .5).
    assert fidelity.seam(stepped, hole, nobody) == pytest.approx(101, abs=1e-3)
    assert fidelity.seam(stepped, hole, ~hole) is None


def test_windows_hold_their_hole_and_are_large_enough_for_ms_ssim() -> None:
    for y, x, shape in ((0, 0, (400, 500)), (390, 490, (400, 500)), (50, 60, (100, 120))):
        hole = np.zeros(shape, bool)
        hole[y : y + 6, x : x + 5] = True
        window = around(hole)
        assert hole[window.slices].sum() == hole.sum()
        assert min(window.width, shape[1]) >= min(192, shape[1])
        assert min(window.height, shape[0]) >= min(192, shape[0])
        assert Box(0, 0, shape[1], shape[0]).intersect(window) == window


# --- leakage


def test_the_truth_leaks_nothing_and_the_input_left_standing_leaks_nearly_everything() -> None:
    item = two_people()
    assert item.truth is not None
    trial = make_trial(item, "tight")
    perfect = leakage(item.truth.photo, item, trial.mask)
    assert perfect is not None
    assert perfect.total == perfect.colour == perfect.edges == 0
    standing = leakage(item.photo, item, trial.mask)
    assert standing is not None
    assert standing.colour > 0.9
    assert standing.total > 0.8


def test_leakage_of_one_foreign_colour_is_its_closed_form() -> None:
    """A flat answer in the kept person's colour: own² / (own² + σ²) where the truth is background."""
    item = flat_item()
    assert item.truth is not None
    trial = make_trial(item, "tight")
    answer = np.where(trial.mask[..., None], np.uint8([30, 40, 200]), item.photo).astype(np.uint8)
    found = leakage(answer, item, trial.mask)
    assert found is not None
    colours = np.uint8([[[30, 40, 200]], [[40, 150, 60]]]).astype(np.float32) / np.float32(255)
    blue, green = cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)[:, 0]
    own = float(np.square(blue - green).sum())
    assert found.colour == pytest.approx(own / (own + SIGMA**2), abs=1e-4)
    assert found.kept == pytest.approx(found.colour)


def test_own_texture_in_the_wrong_place_leaks_nothing() -> None:
    item = two_people(gap=0.3)
    assert item.truth is not None
    trial = make_trial(item, "tight")
    shifted = np.where(trial.mask[..., None], np.roll(item.truth.background, 17, 0), item.photo)  # type: ignore[arg-type]
    found = leakage(shifted, item, trial.mask)
    assert found is not None
    assert found.total < 0.02


def test_a_bare_mask_without_people_who_stay_has_no_leakage_from_them() -> None:
    item = two_people(gap=0.3)
    assert item.truth is not None
    alone = single(item.photo, item.scene.mask_of((2,)), "a", item.truth.photo)
    found = leakage(item.photo, alone, alone.scene.mask_of((1,)))
    assert found is not None
    assert found.kept is None
    painted = replace(alone, painted=True)
    assert leakage(item.photo, painted, alone.scene.mask_of((1,))) is None


def flat_item():  # type: ignore[no-untyped-def]
    item = two_people(gap=0.3)
    assert item.truth is not None
    visible = item.scene.label_map()
    photo = np.asarray([(40, 150, 60), (30, 40, 200), (200, 30, 30)], np.uint8)[visible]
    truth = np.asarray([(40, 150, 60), (30, 40, 200), (40, 150, 60)], np.uint8)[visible]
    scene = replace(item.scene, photo=item.scene.photo.with_pixels(photo))
    return replace(item, scene=scene, truth=replace(item.truth, photo=truth))


# --- regions, identity, layers


def test_hidden_parts_of_a_kept_person_are_theirs() -> None:
    item = two_people()
    owner = truth_owner(item)
    assert item.truth is not None
    assert ((owner == 1) == (item.truth.people[1][..., 3] > 127)).all()
    assert 0 < (item.hidden_share(1) or 0) < 0.6


def test_raw_and_composited_differ_where_a_method_touches_the_whole_photo() -> None:
    item = two_people()
    trial = make_trial(item, "tight")
    answer = np.clip(item.photo.astype(np.int16) + 20, 0, 255).astype(np.uint8)
    found = score(answer, trial, NO_FINDER)
    assert found["background.psnr"] == fidelity.PSNR_CAP
    assert found["raw.background.psnr"] == pytest.approx(20 * math.log10(255 / 20), abs=0.2)
    assert found["identity.kept"] == 0
    assert "raw.hole.psnr" not in found
    mine = score(item.photo, trial, NO_FINDER)
    assert mine["identity.kept"] == mine["identity.outside"] == 1
    assert mine["changed_in_hole"] == 0
    assert (composited(answer, trial)[~trial.mask] == item.photo[~trial.mask]).all()


def test_the_true_stack_is_perfect_and_an_uncompleted_one_is_not() -> None:
    item = two_people()
    assert item.truth is not None and item.truth.background is not None
    trial = make_trial(item, "tight")
    frame = Box(0, 0, item.scene.size[1], item.scene.size[0])

    def layer(kind: str, owner: int | None, rgba: NDArray[np.uint8]) -> Layer:
        return Layer(kind, owner, f"{kind} {owner}", frame, rgba, np.ones(item.scene.size, bool))  # type: ignore[arg-type]

    opaque = np.full((*item.scene.size, 1), 255, np.uint8)
    back = layer("background", None, np.dstack([item.truth.background, opaque]))
    people = [layer("person", i, item.truth.people[i]) for i in (1, 2)]
    whole = LayerStack(item.photo, (back, *people), frozenset({2}))
    perfect = layer_figures(whole, item, trial.mask)
    assert perfect["alpha_iou"] == perfect["hidden_iou"] == 1
    assert perfect["alpha_sad"] == 0
    assert perfect["completion_psnr"] == fidelity.PSNR_CAP
    assert perfect["recomposition_psnr"] == fidelity.PSNR_CAP
    poor = layer_figures(replace(whole, layers=(back, people[1])), item, trial.mask)
    visible, complete = item.scene.person(1).area, int((item.truth.people[1][..., 3] > 127).sum())
    assert poor["alpha_iou"] == pytest.approx(visible / complete, abs=1e-4)
    assert poor["hidden_iou"] == 0
    assert poor["alpha_sad"] == pytest.approx((complete - visible) / 1000, abs=1e-4)


def test_what_is_left_and_what_is_invented() -> None:
    item = two_people()
    trial = make_trial(item, "tight")
    assert item.truth is not None
    frame = Box(0, 0, item.scene.size[1], item.scene.size[0])
    rgba = item.truth.people[1].copy()
    expected = rgba[..., 3] > 127
    hidden = expected & trial.mask
    rows, columns = np.nonzero(hidden)
    left = np.zeros_like(hidden)
    left[rows[: len(rows) // 4], columns[: len(rows) // 4]] = True
    rgba[left, 3] = 0
    wrong = trial.mask & ~expected
    spots = tuple(axis[: len(rows) // 2] for axis in np.nonzero(wrong))
    rgba[(*spots, 3)] = 255
    ground = Layer("background", None, "background", frame, np.zeros_like(rgba), wrong)
    person = Layer("person", 1, "person 1", frame, rgba, hidden)
    found = layer_figures(LayerStack(item.photo, (ground, person), frozenset({2})), item, trial.mask)
    assert found["left"] == pytest.approx(left.sum() / hidden.sum())
    assert found["invented"] == pytest.approx(len(spots[0]) / hidden.sum())
    assert found["completion_ssim"] == pytest.approx(1) and ("severe.left" in found) == (
        hidden.sum() >= 0.4 * expected.sum()
    )


def test_bands_say_where_a_difference_lies() -> None:
    truth = np.full((96, 96, 3), 120, np.uint8)
    where = np.zeros((96, 96), bool)
    where[16:80, 16:80] = True
    checks, patch = truth.copy(), truth.copy()
    checks[::2, ::2] += 40
    patch[...] += 20
    fine, coarse = (fidelity.bands(picture, truth, where) for picture in (checks, patch))
    assert max(fine[1:4]) < 0.05 * fine[0] and coarse[4] == pytest.approx(20, abs=0.1) and max(coarse[:4]) < 0.1
    assert fidelity.bands(truth, truth, where) == [0] * 5


def test_order_accuracy_counts_pairs_that_hide_each_other() -> None:
    assert order_accuracy(two_people(gap=0.45)) is None
    assert order_accuracy(two_people()) in (0.0, 1.0)


# --- distances of distributions


def test_frechet_of_gaussians_is_its_closed_form() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (4000, 3))
    same = frechet(list(a), list(a))
    assert same == pytest.approx(0, abs=1e-4)
    moved = frechet(list(a), list(a + np.asarray([3.0, 0, 4.0])))
    assert moved == pytest.approx(25, abs=1e-4)
    # Scaled by two: the trace of (C + 4C - 4C) = trace C, and the mean's own move.
    scaled = frechet(list(a), list(2 * a))
    expected = np.trace(np.cov(a, rowvar=False)) + np.square(a.mean(0)).sum()
    assert scaled == pytest.approx(expected, abs=1e-4)


def test_cmmd_of_two_points_is_its_closed_form() -> None:
    a, b = np.asarray([1.0, 0.0]), np.asarray([0.0, 1.0])
    assert cmmd([a], [a]) == pytest.approx(0, abs=1e-9)
    assert cmmd([a], [5 * b]) == pytest.approx(1000 * (2 - 2 * math.exp(-2 / 200)), abs=1e-4)
