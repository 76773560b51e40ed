"""The command line: what it refuses, what it says, what it leaves behind."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mild.app.cli import app, asked, groups, output
from mild.errors import UsageError
from mild.request import EraseRequest

#: What would make `mild --help` slow.
HEAVY = ("torch", "diffusers", "transformers", "cv2", "numpy", "scipy", "PIL", "pydantic", "ai_edge_litert")
SIZE = (96, 128)
#: The two people of the test photo, as x0, y0, x1, y1.
LEFT, RIGHT = (20, 24, 40, 80), (80, 30, 100, 84)

Run = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, no debugging, no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(app.DEBUG_VARIABLE, raising=False)
    monkeypatch.setenv("MILD_OFFLINE", "1")
    return tmp_path


@pytest.fixture
def photo(folder: Path) -> Path:
    """A textured picture with two coloured boxes in it, whom ``people.json`` calls people."""
    pixels = np.random.default_rng(0).integers(90, 130, (*SIZE, 3)).astype(np.uint8)
    for (x0, y0, x1, y1), colour in ((LEFT, (200, 30, 30)), (RIGHT, (30, 30, 200))):
        pixels[y0:y1, x0:x1] = colour
    path = folder / "photo.png"
    Image.fromarray(pixels).save(path)
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]}
        for n, (x0, y0, x1, y1) in enumerate((LEFT, RIGHT), 1)
    ]
    described = {
        "images": [{"id": 1, "file_name": path.name, "width": SIZE[1], "height": SIZE[0]}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": annotations,
    }
    (folder / "people.json").write_text(json.dumps(described))
    return path


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts to work fails the test: what is refused is refused before."""
    import mild.people.find

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("work was begun")

    road = types.ModuleType("mild.road")
    road.__dict__.update(run=refuse, decompose=refuse)
    monkeypatch.setitem(sys.modules, "mild.road", road)
    monkeypatch.setattr(mild.people.find, "find_people", refuse)


def one_sentence(capfd: pytest.CaptureFixture[str]) -> str:
    """What stderr holds, which must be one line and no traceback; stdout must be empty."""
    out, err = capfd.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith(("INFO:", "WARNING:"))]
    assert len(lines) == 1, err
    assert lines[0].startswith("mild: ")
    assert lines[0].endswith(".")
    return lines[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- the program itself


def test_help_loads_nothing_heavy() -> None:
    loaded = f"print([m for m in {HEAVY} if m in sys.modules])"
    code = f"import sys; from mild.app.cli import app; app.run(['--help']); {loaded}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name in app.COMMANDS:
        assert name in done.stdout


@pytest.mark.parametrize("module", ["mild", "mild.app.cli"])
def test_python_m(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"mild \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([name, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([]) == 0
    assert "Usage" in capsys.readouterr().out


def test_the_defaults_in_the_help_are_the_request_s() -> None:
    """The options have no default of their own, so that nothing but the text can go stale."""
    request = EraseRequest().model_dump()
    known = {"seed": request["seed"], "finder": request["finder"]["backend"], **request["region"]}
    known |= {**request["method"]["model"], "model": request["method"]["model"]["name"]}
    known |= {**request["method"]["sampling"], **request["method"]["parts"], **request["output"]}
    told: dict[str, str] = {}
    shared = (groups.who, groups.finding, groups.model, groups.place, groups.switches, groups.saying)
    parameters = [one for group in shared for one in inspect.signature(group, eval_str=True).parameters.values()]
    assert all(one.default is None or one.default is False for one in parameters)
    for option in (one.annotation.__metadata__[0] for one in parameters):
        match = re.search(r"\[default: (.+)\]", getattr(option, "help", None) or "")
        if match:
            # In an annotation typer keeps the first name where a default would stand.
            names = (option.default, *option.param_decls)
            told[next(n for n in names if str(n).startswith("--")).removeprefix("--")] = match[1]
    assert {"seed", "steps", "resolution", "dilate", "feather", "model", "sma", "hmg", "finder", "runtime"} <= set(told)
    assert known["dilate"] is None and known["feather"] is None  # the outline decides, and the text says how
    assert {told.pop("dilate"), told.pop("feather")} == {"as far as the outline is unsure", "0.004"}
    assert told == {name: str(known[name]) for name in told}


def commands(command: Any, *path: str) -> list[tuple[tuple[str, ...], Any]]:
    """Every command below this one that is no group: the words that call it, and itself."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return [(path, command)]
    return [found for name, one in inner.items() for found in commands(one, *path, name)]


@pytest.mark.parametrize("name", app.COMMANDS)
def test_the_defaults_are_seen_in_the_rendered_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rich took ``[default: 1]`` for a style and printed nothing."""
    monkeypatch.setenv("COLUMNS", "240")
    for path, command in commands(app.build(name).commands[name], name):
        assert app.run([*path, "-h"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        for option in command.params:
            for default in re.findall(r"\[default: [^]]+\]", getattr(option, "help", None) or ""):
                assert default in shown, (path, option.name)


def test_a_shell_completes_options_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    line = {"_MILD_COMPLETE": "complete_bash", "COMP_WORDS": "mild erase --per", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "mild"], capture_output=True, text=True, env={**os.environ, **line}, check=False
    )
    assert done.stdout.split() == ["--person"]


def test_an_error_of_the_library_names_no_option_of_the_command_line() -> None:
    """Who calls the library, the API or the studio has never seen ``--person``."""
    root = Path(app.__file__).parents[2]
    wrong = []
    for path in root.rglob("*.py"):
        if path.relative_to(root).parts[0] in ("app", "lab"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Raise):
                # A sentence in one piece: what is between backquotes is a command, and may go over several strings.
                constants = [n for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
                texts = ["".join(n.value for n in sorted(constants, key=lambda n: (n.lineno, n.col_offset)))]
                wrong += [f"{path.name}: {t}" for t in texts if re.search(r"--[a-z]", re.sub(r"`[^`]*`?", "", t))]
    assert wrong == []


@pytest.mark.parametrize(
    ("argv", "extra"),
    [
        (["data", "curate", ".", "out", "--licence", "CC0-1.0", "--coco", "people.json", "--min-side", "16"], "data"),
        (["train", "config.yaml"], "train"),
        (["serve"], "server"),
        (["erase", "photo.png", "--coco", "people.json", "--all", "--steps", "2", "--correct"], "torch"),
        (["erase", "photo.png", "--coco", "people.json", "--all", "--report", "cag"], "bench,torch"),
        (["bench", "run", "--set", "samples:x", "-m", "mild"], "bench"),
    ],
    ids=lambda v: v if isinstance(v, str) else " ".join(v[:2]),
)
def test_a_missing_extra_is_one_sentence_that_names_it(argv: list[str], extra: str, photo: Path) -> None:
    """In a process of its own, in which the extras' packages cannot be imported."""
    (photo.parent / "set").mkdir()
    (photo.parent / "config.yaml").write_text("stage: base")
    code = f"""
import sys, importlib.util
from mild.extras import EXTRAS
hidden = {{m for modules in EXTRAS.values() for m in modules}}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])
sys.meta_path.insert(0, Hide())
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in hidden else find_spec(name, package)
from mild.app.cli import main
main({argv!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"pip install 'mild-erase[{extra}]'" in done.stderr


@pytest.mark.parametrize("error", [RuntimeError("odd\nmore"), ValueError(), OSError(5, "disk on fire")])
def test_a_fault_of_ours_is_one_sentence_too(
    error: Exception, photo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _break_the_finder(monkeypatch, error)
    assert app.run(["people", str(photo)]) == 1
    assert app.DEBUG_VARIABLE in one_sentence(capfd)
    monkeypatch.setenv(app.DEBUG_VARIABLE, "1")
    assert app.run(["people", str(photo)]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_ctrl_c_ends_with_130_and_leaves_nothing(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = contents(photo.parent)
    _break_the_finder(monkeypatch, KeyboardInterrupt())
    assert app.run(["people", str(photo), "-o", "people.png"]) == 130
    one_sentence(capfd)
    assert contents(photo.parent) == before


def test_ctrl_c_in_a_real_process(photo: Path) -> None:
    code = (
        # A shell that runs the tests in its background has them ignore the interrupt, and children inherit that.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import time, mild.people.find\n"
        "def wait(*a): print('waiting', flush=True); time.sleep(60)\n"
        "mild.people.find.find_people = wait\n"
        "from mild.app.cli import main; main(['people', 'photo.png'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    # Between the line and the sleep there is a moment; a second interrupt would be a second Ctrl-C.
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_reader_that_goes_away_is_no_fault(photo: Path) -> None:
    command = f'"{sys.executable}" -m mild people photo.png --coco people.json --json | true'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def _break_the_finder(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    import mild.people.find

    def fail(*args: Any) -> Any:
        raise error

    monkeypatch.setattr(mild.people.find, "find_people", fail)


# --- wrong usage, refused before any work

WRONG = [
    ["erase", "photo.png"],
    ["erase"],
    ["people"],
    ["nonsense"],
    ["erase", "photo.png", "--nonsense"],
    ["erase", "photo.png", "--person", "two"],
    ["erase", "photo.png", "--person", ""],
    ["erase", "photo.png", "--keep", "1,,3"],
    ["erase", "photo.png", "--at", "10"],
    ["erase", "photo.png", "--at", "10,20,30"],
    ["erase", "photo.png", "--box", "1,2,3"],
    ["erase", "photo.png", "--person", "1", "--keep", "2"],
    ["erase", "photo.png", "--person", "1", "--all"],
    ["erase", "photo.png", "--all", "--keep", "2"],
    ["erase", "photo.png", "--person", "1", "--steps", "0"],
    ["erase", "photo.png", "--person", "1", "--steps", "many"],
    ["erase", "photo.png", "--person", "1", "--resolution", "100"],
    ["erase", "photo.png", "--person", "1", "--seed", "-1"],
    ["erase", "photo.png", "--person", "1", "--dilate", "7"],
    ["erase", "photo.png", "--person", "1", "--feather", "nan"],
    ["erase", "photo.png", "--person", "1", "--sma", "maybe"],
    ["erase", "photo.png", "--person", "1", "--coco", "people.json", "--finder", "hub"],
    ["erase", "photo.png", "--person", "1", "-o", "."],
    ["erase", "photo.png", "--person", "1", "-o", "missing/out.png"],
    ["erase", "photo.png", "--person", "1", "-o", "out"],
    ["erase", "photo.png", "--person", "1", "-o", "out.txt"],
    ["erase", "photo.png", "--person", "1", "-o", "photo.png"],
    ["erase", "photo.png", "--person", "1", "-o", "there.png"],
    ["erase", "photo.png", "--person", "1", "--save-request", "people.json"],
    ["erase", "photo.png", "--person", "1", "--save-request", "job.txt"],
    ["erase", "--request", "there.png"],
    ["erase", "--request", "list.json"],
    ["erase", "--request", "people.json"],
    ["people", "photo.png", "-o", "there.png"],
    ["people", "photo.png", "-o", "out.jpg"],
    ["layers", "photo.png", "-o", "photo.png"],
    ["layers", "photo.png", "-o", "full"],
    ["layers", "photo.png", "-o", "full", "--force"],
    ["layers", "photo.png", "-o", "stack"],
    ["layers", "photo.png", "-o", "missing/stack"],
    ["models", "nonsense"],
]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("argv", WRONG, ids=" ".join)
def test_wrong_usage(argv: list[str], photo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = photo.parent
    (folder / "there.png").write_bytes(b"\x89 mine")
    (folder / "list.json").write_text("[]")
    (folder / "full").mkdir()
    (folder / "full" / "diary.txt").write_text("mine")
    (folder / "stack").mkdir()
    (folder / "stack" / output.MARKER).write_text("{}")
    before = contents(folder)
    code = app.run(argv)
    if argv[:2] == ["erase", "--request"] and argv[2] == "there.png":
        assert code == 1  # no text at all: could not be read
    else:
        assert code == 2
    one_sentence(capfd)
    assert contents(folder) == before


@pytest.mark.usefixtures("no_work")
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write to")
@pytest.mark.parametrize("command", [["erase", "photo.png", "--all"], ["people", "photo.png"], ["layers", "photo.png"]])
def test_an_unwritable_output(command: list[str], photo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert app.run([*command, "-o", "/proc/out.png" if command[0] != "layers" else "/proc/out"]) == 1
    assert "cannot be written" in one_sentence(capfd)


def test_numbers() -> None:
    assert asked.numbers("--person", ["2", "1, 3"]) == [(2,), (1, 3)]
    with pytest.raises(UsageError, match="x0,y0,x1,y1"):
        asked.numbers("--box", ["1,2"], 4)


# --- bad input: the photo, the mask, the numbers


@pytest.fixture
def bad_files(photo: Path) -> Path:
    folder = photo.parent
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "whole.jpg")
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:900])
    (folder / "cut.png").write_bytes(photo.read_bytes()[:900])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("I am no picture.")
    height, width = SIZE
    for name, mask in {
        "small": np.full((10, 10), 255, np.uint8),
        "black": np.zeros((height, width), np.uint8),
        "white": np.full((height, width), 255, np.uint8),
    }.items():
        Image.fromarray(mask).save(folder / f"{name}.png")
    return folder


BAD = [
    (["erase", "nowhere.jpg", "--all"], 2),
    (["erase", ".", "--all"], 2),
    (["erase", "empty.jpg", "--all"], 1),
    (["erase", "text.jpg", "--all"], 1),
    (["erase", "cut.jpg", "--all"], 1),
    (["erase", "cut.png", "--all"], 1),
    (["people", "cut.png"], 1),
    (["layers", "cut.png"], 1),
    (["erase", "photo.png", "--coco", "people.json", "--person", "3"], 2),
    (["erase", "photo.png", "--coco", "people.json", "--person", "0"], 2),
    (["erase", "photo.png", "--coco", "people.json", "--keep", "1,2"], 2),
    (["erase", "photo.png", "--coco", "people.json", "--keep", "7"], 2),
    (["erase", "photo.png", "--coco", "people.json", "--at", "128,5"], 2),
    (["erase", "photo.png", "--coco", "people.json", "--box", "50,50,40,60"], 2),
    (["erase", "photo.png", "--coco", "nowhere.json", "--all"], 2),
    (["erase", "photo.png", "--coco", "photo.png", "--all"], 2),
    (["erase", "photo.png", "--finder", "coco", "--all"], 2),
    (["erase", "photo.png", "--finder", "nonsense", "--all"], 2),
    (["erase", "photo.png", "--finder", "none", "--all"], 2),
    (["erase", "photo.png", "--finder", "none", "--mask", "small.png"], 2),
    (["erase", "photo.png", "--finder", "none", "--mask", "black.png"], 2),
    (["erase", "photo.png", "--finder", "none", "--mask", "white.png"], 2),
    (["erase", "photo.png", "--finder", "none", "--mask", "nowhere.png"], 2),
    (["erase", "photo.png", "--coco", "people.json", "--all", "--model", "nowhere/at-all"], 1),
]


@pytest.mark.parametrize(("argv", "code"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_input(argv: list[str], code: int, bad_files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = contents(bad_files)
    assert app.run(argv) == code
    assert "unexpectedly" not in one_sentence(capfd)
    assert contents(bad_files) == before


@pytest.mark.parametrize("command", [["people", "photo.png"], ["erase", "photo.png", "--all"], ["layers", "photo.png"]])
def test_a_missing_cache_without_a_network(
    command: list[str], photo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILD_CACHE", str(photo.parent / "cache"))
    before = contents(photo.parent)
    assert app.run([*command, "--finder", "blazepose"]) == 1
    assert "mild models --fetch" in one_sentence(capfd)
    assert contents(photo.parent) == before
    assert app.run(["models", "--fetch"]) == 1
    one_sentence(capfd)


def test_one_pixel(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(folder / "dot.png")
    assert app.run(["people", "dot.png", "--finder", "none", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["people"] == []
    assert app.run(["erase", "dot.png", "--finder", "none", "--at", "0,0"]) in (1, 2)
    one_sentence(capfd)


# --- what the commands do


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny pipeline that was never trained: its answer is the exemplar fill."""
    from mild.diffusion.adapters import DomainAdapters
    from mild.diffusion.attention import SpatialModulation
    from mild.diffusion.codec import PixelCodec
    from mild.diffusion.denoiser import small_unet
    from mild.diffusion.pipeline import MildPipeline
    from mild.diffusion.schedule import noise_scheduler

    codec = PixelCodec()
    folder = tmp_path_factory.mktemp("model")
    unet = small_unet(codec, (32, 32))
    parts = DomainAdapters.for_unet(unet), SpatialModulation.for_unet(unet)
    MildPipeline(unet, noise_scheduler(), codec, *parts).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def erase(photo: Path, model: str) -> Run:
    """``mild erase`` on the test photo."""

    def go(*argv: str) -> int:
        return app.run(
            [
                "erase",
                "photo.png",
                "--coco",
                "people.json",
                "--model",
                model,
                "--steps",
                "1",
                "--resolution",
                "64",
                *argv,
            ]
        )

    return go


def read(path: str | Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_people_draws_and_lists(photo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # our own picture may be drawn again
        assert app.run(["people", "photo.png", "--coco", "people.json"]) == 0
    out, _ = capfd.readouterr()
    assert "photo.people.png" in out
    assert read("photo.people.png").shape == (*SIZE, 3)


def test_people_as_json(photo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = contents(photo.parent)
    assert app.run(["people", "photo.png", "--coco", "people.json", "--json", "--at", "30,40"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert [row["box"] for row in report["people"]] == [list(LEFT), list(RIGHT)]
    assert report["chosen"] == [1]
    assert contents(photo.parent) == before


def test_people_refines_what_several_points_mean_once(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It was done once for what is erased, and again for what is suggested beside it."""
    from mild.people import selection

    refined, calls = selection.refined, list[int]()
    monkeypatch.setattr(selection, "refined", lambda *a: calls.append(1) or refined(*a))
    asked_for = ["people", "photo.png", "--coco", "people.json", "--json", "--at", "30,40+90,40-5,5"]
    assert app.run(asked_for) == 0
    assert json.loads(capfd.readouterr().out)["chosen"] and calls == [1]


def test_not_searched_is_not_nobody_found(photo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert app.run(["people", "photo.png", "--finder", "none"]) == 0
    out = capfd.readouterr().out
    assert "Nobody was searched for" in out and "found" not in out


def test_a_mask_or_a_box_needs_no_finder(
    photo: Path, model: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first thing that somebody tries, before any nets were fetched; and nobody claims to have looked."""
    monkeypatch.setenv("MILD_CACHE", str(photo.parent / "empty"))
    mask = np.zeros(SIZE, np.uint8)
    mask[24:80, 20:40] = 255
    Image.fromarray(mask).save("mask.png")
    assert app.run(["erase", "photo.png", "--mask", "mask.png", "--model", model, "--resolution", "64"]) == 0
    assert "Nobody was searched for" in capfd.readouterr().out
    small = ["--model", model, "--resolution", "64", "--force"]
    assert app.run(["erase", "photo.png", "--box", "20,24,40,80", *small]) == 0
    assert "All of the box went" in capfd.readouterr().out
    assert app.run(["erase", "photo.png", "--bystanders", *small]) == 1, "it said that nobody was found"
    assert "mild models --fetch" in one_sentence(capfd)
    assert app.run(["erase", "photo.png", "--at", "30,30", "--model", model, "--resolution", "64", "--force"]) == 1
    assert "mild models --fetch" in one_sentence(capfd)


def test_the_first_run_offers_the_nets_and_fetches_none_unasked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from mild.app.cli import first
    from mild.models import assets
    from mild.request import Finder

    monkeypatch.setenv("MILD_CACHE", str(folder / "empty"))
    monkeypatch.delenv("MILD_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    fetched: list[str] = []
    monkeypatch.setattr(assets, "fetch", lambda name, given=None, tell=None: fetched.append(name))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    finder = Finder.model_validate({})
    assert not first.offer(finder, ask=False)
    said = iter([False, True])
    monkeypatch.setattr(first.typer, "confirm", lambda *args, **kwargs: next(said))
    assert not first.offer(finder, ask=True)
    assert fetched == []
    told = capfd.readouterr().err
    assert "blazepose, Apache-2.0" in told and "nanodet, Apache-2.0" in told and "MB" in told
    assert first.offer(finder, ask=True)
    assert fetched == ["blazepose", "nanodet"], "what `mild models --fetch` fetches"


# --- doctor and cache


def test_the_doctor_tries_the_default_job(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert app.run(["doctor", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["job"]["erase"] > 0
    assert {"torch", "heic", "server", "data", "train", "bench"} <= set(found["extras"])
    assert {"people", "models"} <= set(found["folders"])
    assert app.run(["doctor", "--quick"]) == 0
    assert "default job" not in capfd.readouterr().out


def test_the_cache_is_cleared_and_the_models_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILD_CACHE", str(folder / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    kept = folder / "cache" / "people" / "one.npz"
    net, upload = folder / "cache" / "blazepose" / "net", folder / "state" / "mild" / "studio" / "photos" / "x"
    for path in (kept, net, upload):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"mine")
    assert app.run(["cache", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)}
    assert (rows["people"]["files"], rows["people"]["kept"]) == (1, "30 days")
    assert rows["studio"]["files"] == 1
    assert app.run(["cache", "--clear"]) == 0
    assert (kept.exists(), upload.exists(), net.exists()) == (False, False, True)
    assert app.run(["cache", "--clear", "--models"]) == 0
    assert not net.exists()


def test_the_cache_of_a_running_studio_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from mild.app.server import Settings
    from mild.app.server.service import lock

    monkeypatch.setenv("MILD_CACHE", str(folder / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    state = folder / "state" / "mild" / "studio"
    (state / "photos").mkdir(parents=True)
    with lock(Settings(state=state)):
        assert app.run(["cache", "--clear"]) == 1
    assert "mild studio" in one_sentence(capfd)
    assert (state / "photos").is_dir()


def test_erase_takes_one_and_leaves_the_other(erase: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert erase("--person", "2", "-o", "out.png") == 0
    assert "out.png" in capfd.readouterr().out
    before, after = read("photo.png"), read("out.png")
    x0, y0, x1, y1 = RIGHT
    assert (after[y0:y1, x0:x1] != before[y0:y1, x0:x1]).any(axis=2).mean() > 0.9
    assert (after[:, : x0 - 12] == before[:, : x0 - 12]).all()


def test_erase_is_the_library_s(erase: Run, model: str) -> None:
    """And the same job twice, and replayed from its request and from its report, gives the same pixels."""
    from mild.road import run

    assert erase("--keep", "1", "--seed", "5", "-o", "out.png", "--save-request", "job.json") == 0
    request = EraseRequest.build(
        photo="photo.png",
        selection={"keep": (1,)},
        finder={"backend": "coco", "annotations": "people.json"},
        method={"model": model, "steps": 1, "resolution": 64},
        seed=5,
    )
    first = read("out.png")
    assert (run(request).photo.pixels == first).all()
    assert app.run(["erase", "--request", "job.json", "-o", "again.png"]) == 0
    assert (read("again.png") == first).all()
    # Naming somebody replaces the saved choice.
    assert app.run(["erase", "--request", "job.json", "--person", "1", "-o", "other.png"]) == 0
    assert (read("other.png") != first).any()


def test_erase_as_json(erase: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert erase("--at", "30,40", "-o", "out.png", "--json") == 0
    report = json.loads(capfd.readouterr().out)
    assert report["output"] == "out.png"
    assert report["erased"] == [1]
    Path("report.json").write_text(json.dumps(report))
    assert app.run(["erase", "--request", "report.json", "-o", "again.png"]) == 0
    assert (read("again.png") == read("out.png")).all()


def test_erase_replaces_only_by_force(erase: Run) -> None:
    Path("out.png").write_bytes(b"old")
    assert erase("--person", "1", "-o", "out.png") == 2
    assert Path("out.png").read_bytes() == b"old"
    assert erase("--person", "1", "-o", "out.png", "--force") == 0
    assert read("out.png").shape == (*SIZE, 3)


def test_erase_has_a_default_name(erase: Run) -> None:
    assert erase("--all") == 0
    assert Path("photo.erased.png").is_file()


def test_layers(photo: Path, model: str, capfd: pytest.CaptureFixture[str]) -> None:
    command = [
        "layers",
        "photo.png",
        "--coco",
        "people.json",
        "--model",
        model,
        "--steps",
        "1",
        "-o",
        "stack",
        "--json",
    ]
    assert app.run(command) == 0
    assert json.loads(capfd.readouterr().out)["output"] == "stack"
    listed = json.loads(Path("stack/layers.json").read_text())["layers"]
    assert listed[0]["owner"] is None
    assert sorted(row["owner"] for row in listed[1:]) == [1, 2]
    assert {"name", "box", "rgba"} <= set(listed[0])
    assert read("stack/background.png").shape == (*SIZE, 3)
    with Image.open("stack/person-1.png") as image:
        assert image.mode == "RGBA"
    Path("stack/diary.txt").write_text("mine")
    assert app.run([*command, "--force"]) == 0
    assert Path("stack/diary.txt").read_text() == "mine"
    assert sorted(p.name for p in photo.parent.iterdir() if p.name.startswith(".")) == []


def test_models_lists_sources_and_licences(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert app.run(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)}
    assert rows["blazepose"]["licence"] == "Apache-2.0"
    assert app.run(["models"]) == 0
    assert "blazepose" in capfd.readouterr().out
