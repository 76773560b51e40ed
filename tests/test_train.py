"""The trainer: every stage on tiny models, what it writes, and that a killed run goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from safetensors.torch import load_file

from mild.diffusion.pipeline import MildPipeline
from mild.errors import MildError, UsageError
from mild.lab.train import stages
from mild.lab.train.checkpoint import checkpoint_of
from mild.lab.train.config import RunConfig
from mild.lab.train.journal import only_run, read_log
from mild.lab.train.parts import export, make_parts
from mild.lab.train.run import train
from mild.lab.train.sampling import sampled
from mild.lab.train.settings import build
from tiny_pipes import sd15, sdxl
from tiny_rows import write_rows

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"))


def tiny(rows: Path, out: Path, stage: str = "base", **sections: Any) -> RunConfig:
    """A config of very few, very small steps."""
    values: dict[str, Any] = {
        "stage": stage,
        "out": str(out),
        "precision": "fp32",
        "model": {"channels": [32, 32], "rank": 2},
        "data": {"rows": str(rows), "size": 32, "large_every": 2},
        "optimiser": {"steps": 4, "batch": 4, "warmup": 1},
        "log": {"every": 1, "checkpoint": 2, "judge": 100, "judged": 4, "pictures": 2},
    }
    for name, changes in sections.items():
        values[name] = {**values.get(name, {}), **changes} if isinstance(changes, dict) else changes
    return build(RunConfig, values, "the test's config")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return {
        **load_file(checkpoint_of(run) / "model.safetensors"),
        **load_file(checkpoint_of(run) / "average.safetensors"),
    }


def in_a_child(do: Any) -> int:
    """Run ``do`` in a forked process; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            do()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


# --- resuming


@pytest.mark.parametrize(("stage", "when"), [("base", 4), ("distill", 3)])
def test_a_run_killed_with_signal_9_resumes_bit_equal(
    rows: Path, tmp_path: Path, when: int, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start: dict[str, Any] = {}
    more: dict[str, Any] = {}
    if stage == "distill":
        train(tiny(rows, tmp_path / "start", optimiser={"steps": 1}))
        start = {"start": str(tmp_path / "start")}
        more = {"loss": {"adversarial": 0.01, "teacher": 0.02, "gradient": 0.01, "texture": 0.01}}
        more |= {"noise": {"teacher_steps": 2}}
    morphology = {"hmg": "all"} if stage == "base" else {}
    config = {"model": {**start, **morphology}, "optimiser": {"steps": 4, "accumulate": 2}, **more}
    train(tiny(rows, tmp_path / "whole", stage, **config))
    broken = tiny(rows, tmp_path / "broken", stage, **config)
    real, calls = stages.RowTask.batch, [0]

    def deadly(self: Any, turn: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2 * when:  # in the middle of a step
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, turn)

    monkeypatch.setattr(stages.RowTask, "batch", deadly)
    status = in_a_child(lambda: train(broken))
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert checkpoint_of(tmp_path / "broken").name == "step-00000002"
    monkeypatch.setattr(stages.RowTask, "batch", real)
    train(broken)
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert set(one) == set(two)
    for name in one:
        assert torch.equal(one[name], two[name]), name
    name = "loss" if stage == "base" else "model.loss"
    curves = [[(line["step"], line[name]) for line in read_log(tmp_path / run)] for run in ("whole", "broken")]
    assert curves[0] == curves[1] and [step for step, _ in curves[0]] == [1, 2, 3, 4]


def test_a_half_written_checkpoint_does_not_count(rows: Path, tmp_path: Path) -> None:
    config = tiny(rows, tmp_path / "run")
    train(config, most_steps=2)
    (tmp_path / "run" / "checkpoints" / "unfinished").mkdir()
    half = tmp_path / "run" / "checkpoints" / "step-00000009"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert checkpoint_of(tmp_path / "run").name == "step-00000002"
    train(config)
    assert checkpoint_of(tmp_path / "run").name == "step-00000004"


# --- the stages, one after the other, and what they write


def test_all_stages_of_the_embedded_model(rows: Path, tmp_path: Path) -> None:
    """Base, morphology guidance on the frozen rest, few-step distillation; each starts from the one before."""
    base = tiny(rows, tmp_path / "base", data={"test": str(rows)}, log={"judge": 2})
    assert train(base) == tmp_path / "base" / "pipeline"
    hmg = tiny(
        rows, tmp_path / "hmg", "adapters", data={"people": 1.0, "posed": 0.7, "test": str(rows)}, log={"judge": 4},
        model={"start": base.out, "train": ["morphology"], "hmg": "all"},
    )  # fmt: skip
    train(hmg)
    distill = tiny(
        rows, tmp_path / "distill", "distill", model={"start": hmg.out, "hmg": "all"},
        loss={"adversarial": 0.01, "teacher": 0.02, "gradient": 0.02, "texture": 0.01, "cag": 0.1},
        noise={"steps": 2, "teacher_steps": 2}, optimiser={"steps": 2},
    )  # fmt: skip
    train(distill)

    first, second, third = (
        MildPipeline.from_pretrained(tmp_path / name / "pipeline", torch_dtype=torch.float32)
        for name in ("base", "hmg", "distill")
    )
    for name, value in first.unet.state_dict().items():
        assert torch.equal(value, second.unet.state_dict()[name]), "a frozen backbone does not move"
    assert first.morphology is None and second.morphology is not None
    assert not torch.equal(second.unet.conv_out.weight, third.unet.conv_out.weight)

    lines = read_log(base.out)
    judged = [line for line in lines if "psnr_answer" in line]
    assert [line["step"] for line in judged] == [2, 4]
    assert all(0 < line["of_peak"] < 2 and line["rows_per_second"] > 0 for line in lines if "of_peak" in line)
    assert (tmp_path / "base" / "pictures" / "step-00000004.png").exists() and (
        tmp_path / "base" / "curve.png"
    ).exists()
    assert {"alpha_iou_none", "alpha_iou_pose"} <= set(read_log(hmg.out)[-1])
    assert {"critic.loss", "model.teacher", "model.cag"} <= set(read_log(distill.out)[-1])
    assert RunConfig.load(tmp_path / "base" / "config.yaml") == base
    for file in (tmp_path / "distill" / "pipeline").glob("**/*.json"):
        assert str(tmp_path) not in file.read_text(), "no path of this machine in what is given away"


def test_an_export_is_what_was_trained(rows: Path, tmp_path: Path) -> None:
    config = tiny(rows, tmp_path / "run", data={"test": str(rows)})
    train(config, most_steps=2)
    assert not (tmp_path / "run" / "pipeline").exists()
    folder = export(tmp_path / "run", tmp_path / "given")
    average = load_file(checkpoint_of(tmp_path / "run") / "average.safetensors")
    loaded = MildPipeline.from_pretrained(folder)
    for name, value in loaded.unet.state_dict().items():
        assert torch.allclose(value.float(), average[f"model.learning.unet.{name}"], atol=2e-3), name


def test_an_export_of_a_kept_step(rows: Path, tmp_path: Path) -> None:
    """How a figure changes through training: `mild train export RUN --step N`."""
    run = tmp_path / "run"
    train(tiny(rows, run, log={"checkpoint": 1, "keep": 2}), most_steps=3)
    early = MildPipeline.from_pretrained(export(run, tmp_path / "early", 2)).unet.conv_out.weight
    late = MildPipeline.from_pretrained(export(run, tmp_path / "late", 3)).unet.conv_out.weight
    last = MildPipeline.from_pretrained(export(run, tmp_path / "last")).unet.conv_out.weight
    assert torch.equal(late, last) and not torch.equal(early, late)
    with pytest.raises(MildError, match=r"no checkpoint of step 1, only of 2, 3"):
        export(run, tmp_path / "gone", 1)


def test_an_export_is_mixed_with_what_the_run_started_from(rows: Path, tmp_path: Path) -> None:
    train(tiny(rows, tmp_path / "first"))
    train(tiny(rows, tmp_path / "second", model={"start": str(tmp_path / "first")}))
    old, new, mean = (
        MildPipeline.from_pretrained(folder)
        for folder in (
            tmp_path / "first" / "pipeline",
            export(tmp_path / "second", tmp_path / "new"),
            export(tmp_path / "second", tmp_path / "mean", share=0.5),
        )
    )
    for part in ("unet", "adapters", "modulation"):
        for name, value in getattr(mean, part).state_dict().items():
            both = (getattr(old, part).state_dict()[name].float() + getattr(new, part).state_dict()[name].float()) / 2
            assert torch.allclose(value.float(), both, atol=2e-3), name
    assert not torch.equal(old.unet.conv_out.weight, mean.unet.conv_out.weight)
    with pytest.raises(UsageError, match="went on with all of another model"):
        export(tmp_path / "first", tmp_path / "none", share=0.5)


def test_a_run_can_start_from_the_backbone_alone(rows: Path, tmp_path: Path) -> None:
    """`model.kept: [unet]`: other variants of the method can start from one model without its adapters."""
    train(tiny(rows, tmp_path / "run"), most_steps=4)
    trained = make_parts(tiny(rows, tmp_path / "next", model={"start": str(tmp_path / "run")})).pipeline
    anew = make_parts(tiny(rows, tmp_path / "next", model={"start": str(tmp_path / "run"), "kept": ["unet"]})).pipeline
    for name, value in trained.unet.state_dict().items():
        assert torch.equal(value, anew.unet.state_dict()[name]), name
    moved = [name for name, value in trained.adapters.state_dict().items() if name.startswith("up.") and value.any()]
    assert moved, "the first run's adapters have learned"
    assert all(anew.adapters.state_dict()[name].abs().max() == 0 for name in moved), "and the second's have not"
    single = {"start": str(tmp_path / "run"), "kept": ["unet"], "layers": False, "sma": "off"}
    assert make_parts(tiny(rows, tmp_path / "twin", model=single)).pipeline.adapters is None


def test_one_set_of_weights_for_layers_of_all_domains(rows: Path, tmp_path: Path) -> None:
    """`model.adapters: false`: no adapter is made, and the start's are not used."""
    train(tiny(rows, tmp_path / "run", optimiser={"steps": 1}))
    config = tiny(rows, tmp_path / "next", model={"start": str(tmp_path / "run"), "adapters": False})
    parts = make_parts(config)
    assert "adapters" not in config.trained and "unet" in config.trained
    assert parts.pipeline.adapters is not None and parts.denoiser(config).adapters is None
    assert make_parts(tiny(rows, tmp_path / "fresh", model={"adapters": False})).pipeline.adapters is None
    for model in ({"adapters": False}, {"layers": False, "sma": "off"}):
        with pytest.raises(UsageError, match="Adapters cannot learn while"):
            tiny(rows, tmp_path / "none", model={**model, "train": ["unet", "adapters"]})


def test_adapters_of_stable_diffusion(rows: Path, tmp_path: Path) -> None:
    """SD 1.5 in shape: LoRAs, SMA and HMG on a frozen backbone, then the alpha decoder, then distilled."""
    sd15().save_pretrained(tmp_path / "sd")
    model = {"rank": 4, "start": str(tmp_path / "sd"), "hmg": "all", "checkpointing": True, "frozen": "bf16"}
    adapters = tiny(
        rows, tmp_path / "lora", "adapters", model=model, noise={"first": 0.0}, data={"size": 64, "large_every": 0},
        optimiser={"steps": 3, "learning_rate": 0.01}, precision="bf16",
    )  # fmt: skip
    train(adapters)
    start = {"start": adapters.out, "hmg": "all"}
    alpha = tiny(rows, tmp_path / "alpha", "alpha", model=start, data={"size": 64, "test": str(rows)}, log={"judge": 4})
    train(alpha)
    assert 0 <= read_log(alpha.out)[-1]["alpha_iou"] <= 1
    distill = tiny(
        rows, tmp_path / "few", "distill", model={"start": alpha.out, "train": ["adapters", "modulation"]},
        data={"size": 64, "large_every": 0}, optimiser={"steps": 1}, noise={"first": 0.25, "teacher_steps": 2},
        loss={"adversarial": 0.01, "teacher": 0.05, "gradient": 0.01},
    )  # fmt: skip
    train(distill)
    made = MildPipeline.from_pretrained(tmp_path / "few" / "pipeline", torch_dtype=torch.float32)
    assert made.alpha_decoder is not None and made.morphology is not None and made.vae is not None
    plain = StableDiffusionInpaintPipeline.from_pretrained(tmp_path / "sd", safety_checker=None)
    assert_lora(plain, made, tmp_path / "few" / "lora" / "person", "person")


def test_adapters_of_sdxl(rows: Path, tmp_path: Path) -> None:
    sdxl().save_pretrained(tmp_path / "sdxl")
    config = tiny(
        rows, tmp_path / "lora", "adapters", model={"rank": 4, "start": str(tmp_path / "sdxl")}, noise={"first": 0.0},
        data={"size": 64, "large_every": 0}, optimiser={"steps": 2, "learning_rate": 0.01},
    )  # fmt: skip
    train(config)
    made = MildPipeline.from_pretrained(tmp_path / "lora" / "pipeline", torch_dtype=torch.float32)
    plain = StableDiffusionXLInpaintPipeline.from_pretrained(tmp_path / "sdxl")
    assert_lora(plain, made, tmp_path / "lora" / "lora" / "background", "background")


def assert_lora(plain: Any, made: MildPipeline, folder: Path, domain: str) -> None:
    """diffusers' own loader gives the UNet the same update as our hooks do."""
    unet = made.unet.eval()
    xl = unet.config.addition_embed_type == "text_time"
    added = {"text_embeds": torch.randn(2, 32), "time_ids": torch.full((2, 6), 64.0)} if xl else None
    x, t, words = torch.randn(2, 9, 8, 8), torch.tensor([500, 20]), torch.randn(2, 5, unet.config.cross_attention_dim)
    with torch.no_grad(), made.adapters.attached(unet, made.adapters.gate([domain] * 2)):
        ours = unet(x, t, words, added_cond_kwargs=added).sample
    with torch.no_grad():
        before = plain.unet(x, t, words, added_cond_kwargs=added).sample
        plain.load_lora_weights(folder)
        theirs = plain.unet(x, t, words, added_cond_kwargs=added).sample
    assert (ours - before).abs().max() > 1e-4, "the adapter learned nothing"
    assert torch.allclose(ours, theirs, atol=2e-3)


def test_the_single_path_twin(tmp_path: Path) -> None:
    whole = write_rows(tmp_path / "rows", whole=True, count=6)
    config = tiny(
        whole,
        tmp_path / "run",
        model={"layers": False, "sma": "off"},
        optimiser={"steps": 2},
        log={"tensorboard": True},
    )
    assert config.trained == ("unet",)
    train(config)
    made = MildPipeline.from_pretrained(tmp_path / "run" / "pipeline")
    assert made.adapters is None and made.modulation is None and made.morphology is None


# --- what the loop promises


def test_parts_around_the_unet_can_learn_faster(rows: Path, tmp_path: Path) -> None:
    """Every parameter has one rate, and a rate of nothing but the UNet's leaves the rest as far as it says."""
    config = tiny(rows, tmp_path / "run", optimiser={"parts_rate": 8.0, "learning_rate": 1e-3})
    module = stages.make_task(config).players["model"]
    groups = {group["peak"]: sum(p.numel() for p in group["params"]) for group in module.groups()}
    unet = sum(p.numel() for name, p in module.module.named_parameters() if name.startswith("learning.unet."))
    rest = sum(p.numel() for p in module.module.parameters()) - unet
    assert groups == {1e-3: unet, 8e-3: rest} and rest > 0


def test_processes_that_do_not_find_each_other_do_not_start(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launcher's wrong setting once made every process believe to be alone, and all wrote the same checkpoints."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MildError, match="2 processes were started, but they do not find each other"):
        train(tiny(rows, tmp_path / "run"))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_accumulated_forwards_equal_one_large_one(rows: Path, tmp_path: Path) -> None:
    """Two forwards of one row each move the weights as their mean gradient says."""
    config = tiny(
        rows, tmp_path / "run", optimiser={"accumulate": 2, "steps": 1, "average": 0.0}, data={"large_every": 0}
    )
    task = stages.make_task(config)
    task.to(torch.device("cpu"))
    module = task.players["model"].module
    from mild.lab.train.loop import Turn

    for micro in range(2):
        (module(task.batch(Turn(0, 0, micro)))["loss"] / 2).backward()
        task.finish()
    gradient = module.learning["unet"].conv_out.weight.grad.clone()
    train(config)
    line = read_log(config.out)[-1]
    whole = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]).norm()
    assert line["norm"] == pytest.approx(2 * float(whole), rel=1e-3) or line["norm"] == pytest.approx(
        float(whole), rel=1e-3
    )
    assert gradient.abs().max() > 0


def test_sigterm_saves_and_ends(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = stages.RowTask.batch

    def asked(self: Any, turn: Any) -> Any:
        if turn.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, turn)

    monkeypatch.setattr(stages.RowTask, "batch", asked)
    assert train(tiny(rows, tmp_path / "run", log={"checkpoint": 100})) is None
    assert checkpoint_of(tmp_path / "run").name == "step-00000003"


def test_other_settings_do_not_continue_a_run(rows: Path, tmp_path: Path) -> None:
    from mild.errors import UsageError

    train(tiny(rows, tmp_path / "run"), most_steps=1)
    with pytest.raises(UsageError, match=r"other settings \(optimiser.batch was 4 and is 2\)"):
        train(tiny(rows, tmp_path / "run", optimiser={"batch": 2}))
    train(tiny(rows, tmp_path / "run", optimiser={"steps": 5}), most_steps=1)  # longer is no other run


def test_averages_are_put_back_bit_for_bit(rows: Path, tmp_path: Path) -> None:
    from mild.lab.train.sampling import averaged

    config = tiny(rows, tmp_path / "run", data={"test": str(rows)})
    task = stages.make_task(config)
    task.to(torch.device("cpu"))
    trainee = task.players["model"].module
    before = {name: value.clone() for name, value in trainee.state_dict().items()}
    with averaged(trainee, {f"model.{n}": v + 1 for n, v in trainee.named_parameters()}, "model."):
        assert not torch.equal(trainee.state_dict()["learning.unet.conv_in.bias"], before["learning.unet.conv_in.bias"])
    assert all(torch.equal(value, before[name]) for name, value in trainee.state_dict().items())


def test_an_untrained_model_answers_with_the_fill(rows: Path, tmp_path: Path) -> None:
    config = tiny(rows, tmp_path / "run", data={"test": str(rows)})
    task = stages.make_task(config)
    task.to(torch.device("cpu"))
    batch = task.tests[0]
    for steps in (1, 3):
        assert torch.allclose(sampled(task.parts, config, batch, steps), batch.rows.base, atol=1e-5)


def test_a_damaged_checkpoint_is_told_in_a_sentence(rows: Path, tmp_path: Path) -> None:
    """`SafetensorError: header too small` was a fault of ours."""
    config = tiny(rows, tmp_path / "run")
    train(config, most_steps=2)
    for name in ("model.safetensors", "average.safetensors", "progress.json"):
        file = checkpoint_of(tmp_path / "run") / name
        whole = file.read_bytes()
        file.write_bytes(whole[:5])
        with pytest.raises(MildError, match=r"The checkpoint .*step-00000002 is damaged .*; delete that folder"):
            train(config)
        file.write_bytes(whole)
    assert train(config) == tmp_path / "run" / "pipeline"


def test_a_checkpoint_on_a_full_disk_is_told_and_the_run_goes_on(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(rows, tmp_path / "run")
    train(config, most_steps=2)

    def full(*_: object) -> None:
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(MildError, match=r"step-00000004 cannot be written .*No space.*; make room, and the same"):
            train(config)
    assert not (tmp_path / "run" / "checkpoints" / "unfinished").exists()
    assert train(config) == tmp_path / "run" / "pipeline"


def test_an_export_leaves_what_else_is_in_the_folder(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON files of others in the folder, and in all folders below it, were read and written anew."""
    from mild.app.cli.app import run

    train(tiny(rows, tmp_path / "run"), most_steps=2)
    given = tmp_path / "given"
    (given / "mine").mkdir(parents=True)
    (given / "mine" / "notes.json").write_text('{"_name_or_path": "/home/me"}')
    (given / "mine" / "broken.json").write_text("{")
    assert run(["train", "export", str(tmp_path / "run"), "--to", str(given)]) == 2
    assert "exists already; name another folder, or --force" in capsys.readouterr().err
    assert run(["train", "export", str(tmp_path / "run"), "--to", str(given), "--force"]) == 0
    assert (given / "mine" / "notes.json").read_text() == '{"_name_or_path": "/home/me"}'
    MildPipeline.from_pretrained(given)
    assert (given / "lora" / "person").is_dir() and not list(tmp_path.glob(".mild-*"))


def test_a_place_that_cannot_hold_a_run_is_told_in_a_sentence(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`FileExistsError`, `NotADirectoryError`: "MILD failed unexpectedly"."""
    from mild.app.cli.app import run

    (tmp_path / "file").write_text("mine")
    (tmp_path / "run.yaml").write_text(f"stage: base\nout: {tmp_path}/file\ndata: {{rows: {rows}}}\n")
    for out, why in ((tmp_path / "file", "a file of that name"), (tmp_path / "file" / "x", "is a file; name another")):
        assert run(["train", str(tmp_path / "run.yaml"), "--set", f"out={out}"]) == 1
        told = capsys.readouterr().err
        assert f"mild: {out} cannot be used: " in told and why in told
    assert (tmp_path / "file").read_text() == "mine"
    assert (
        run(["train", str(tmp_path)]) == 2
        and "is not a file (it is a folder, a pipe or a device); give a file." in capsys.readouterr().err
    )


def test_two_runs_in_one_folder(rows: Path, tmp_path: Path) -> None:
    """Both wrote the same checkpoint, and the second ended with "No such file or directory"."""
    config = tiny(rows, tmp_path / "run")
    with only_run(tmp_path / "run"):
        with pytest.raises(UsageError, match=r"Another run is at work in .*; wait, or name another folder"):
            train(config)
        train(tiny(rows, tmp_path / "other"), most_steps=1)
    assert train(config) == tmp_path / "run" / "pipeline"


def test_a_start_that_is_not_here_is_not_looked_for_elsewhere(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub was asked for whatever was no folder, `MILD_OFFLINE=1` or not; a run under way "could not be loaded"."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("asked the hub")

    monkeypatch.setattr("diffusers.DiffusionPipeline.from_pretrained", asked)
    for start in ("nobody/nothing", str(tmp_path / "none")):
        with pytest.raises(MildError, match=f"There is no model '{start}': name mild-small, a folder, or a hub model"):
            make_parts(tiny(rows, tmp_path / "run", model={"start": start}))
    (tmp_path / "begun" / "checkpoints").mkdir(parents=True)
    with pytest.raises(MildError, match=r"The run .*begun is not complete: train it to its end"):
        make_parts(tiny(rows, tmp_path / "run", model={"start": str(tmp_path / "begun")}))


def test_too_large_a_batch_is_told_in_a_sentence(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """torch says it by a RuntimeError: "MILD failed unexpectedly"."""
    from mild.app.cli.app import run

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 40000000000 bytes.")

    monkeypatch.setattr("mild.lab.train.run.fit", full)
    (tmp_path / "run.yaml").write_text(f"stage: base\nout: {tmp_path / 'out'}\ndata: {{rows: {rows}}}\n")
    assert run(["train", str(tmp_path / "run.yaml")]) == 1
    assert "There is not enough memory; ask for less at once" in capsys.readouterr().err
