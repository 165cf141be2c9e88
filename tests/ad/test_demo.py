"""The demo: it lands near the published values, and says what is wrong with bad options."""

import re

import numpy as np
import pytest

import ad
from ad import demo, tapes
from ad.__main__ import main
from tape import SpillError, Tape


def estimates_in(text):
    return dict(re.findall(r"^(\w+) +([\d.]+) +[\d.]+ +\S+$", text, re.MULTILINE))


def test_demo(tmp_path, capsys):
    out = tmp_path / "fit.png"
    assert main(["demo", "--steps", "2000", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    estimates = estimates_in(text)
    assert estimates.keys() == set(demo.PARAMETERS)
    for name, published in zip(demo.PARAMETERS, demo.PUBLISHED, strict=True):
        assert float(estimates[name]) == pytest.approx(published, rel=0.15), name
    assert float(re.search(r"^norm +(\S+)$", text, re.MULTILINE)[1]) < 1e-3
    assert "ratio" in text and "tape:" in text and "traffic:" not in text
    orders = re.search(r"orders of the remainder ([\d., ]+);", text)[1]
    assert all(abs(float(order) - 2.0) < 0.1 for order in orders.split(", "))
    assert out.read_bytes().startswith(b"\x89PNG") and out.stat().st_size > 20_000


@pytest.mark.usefixtures("memory_limit")
def test_the_same_estimates_with_little_memory(tmp_path, capsys):
    assert main(["demo", "--steps", "20000", "--no-plot"]) == 0
    expected = estimates_in(capsys.readouterr().out)
    limits = ["--memory", "64 KiB", "--spill-dir", str(tmp_path)]
    assert main(["demo", "--steps", "20000", "--no-plot", *limits]) == 0
    text = capsys.readouterr().out
    assert estimates_in(text) == expected
    assert re.search(r"^traffic: \S", text, re.MULTILINE) and "tape:" in text
    assert not list(tmp_path.iterdir())


def test_every_gradient_gets_the_options(monkeypatch, capsys, tmp_path):
    found = set()

    def new_tape(options):
        found.add(options[:2])
        return Tape("f8")

    monkeypatch.setattr(tapes, "new_tape", new_tape)
    monkeypatch.setattr(demo, "new_tape", new_tape)
    monkeypatch.setattr(tapes, "_here", tapes._Here())
    monkeypatch.setattr(ad.Gradient, "traffic", lambda _: "12 B out, 12 B in")
    limits = ["--memory", "64MiB", "--spill-dir", str(tmp_path)]
    assert main(["demo", "--steps", "200", "--no-plot", *limits]) == 0
    assert found == {(64 * 2**20, None), (64 * 2**20, str(tmp_path))}, "the first one is the check of the size"
    assert "\ntraffic: 12 B out, 12 B in\n" in capsys.readouterr().out


def test_a_disk_that_refuses(monkeypatch, capsys):
    def new_tape(_):
        raise SpillError("no space in /tmp")

    monkeypatch.setattr(tapes, "new_tape", new_tape)
    monkeypatch.setattr(tapes, "_here", tapes._Here())
    assert main(["demo", "--steps", "200", "--no-plot", "--quiet"]) == 1
    assert capsys.readouterr().out == "no space in /tmp\n"


def test_quiet_without_plot(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--steps", "200", "--no-plot", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("parameter")
    assert captured.err == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "COMMAND"),
        (["play"], "invalid choice"),
        (["demo", "--steps", "many"], "an integer, not 'many'"),
        (["demo", "--steps", "0"], "a multiple of 20"),
        (["demo", "--steps", "-20"], "a multiple of 20"),
        (["demo", "--steps", "30"], "a multiple of 20"),
        (["demo", "--steps", "100000000000"], "at most"),
        (["demo", "--out", "fit.jpg"], "ends in .png"),
        (["demo", "--out", "/nowhere/at/all/fit.png"], "no directory"),
        (["demo", "--memory", "lots"], "argument --memory: 'lots' is no size"),
        (["demo", "--memory", "-1"], "argument --memory: '-1' is no size"),
        (["demo", "--spill-dir", "/nowhere/at/all"], "no directory /nowhere/at/all"),
        (["demo", "--spill-dir", demo.__file__], "no directory"),
        (["demo", "--speed"], "unrecognized"),
    ],
)
def test_bad_options(options, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["tqdm", "matplotlib", "scipy"])
def test_missing_package(missing, monkeypatch, capsys):
    original = demo.importlib.import_module

    def without(name):
        if name.split(".")[0] == missing:
            raise ImportError(name)
        return original(name)

    monkeypatch.setattr(demo.importlib, "import_module", without)
    assert main(["demo", "--steps", "200", "--quiet"]) == 1
    assert f'needs {missing}: pip install "layered-tape[demo]"' in capsys.readouterr().out


def test_record():
    record = demo.read_record()
    assert record.years[0] == 1900 and record.years[-1] == 1920
    assert record.hares[3] == 77.4 and record.lynxes[-1] == 8.6


def test_likelihood_is_plain_python_of_the_subset():
    record = demo.read_record()
    arguments = (*demo.PUBLISHED, record.hares, record.lynxes, 20)
    plain = demo.negative_log_likelihood.py_func(*arguments)
    value, slopes = ad.value_and_grad(demo.negative_log_likelihood, wrt=demo.PARAMETERS)(*arguments)
    assert value == pytest.approx(plain, rel=1e-13)
    assert np.all(np.isfinite(slopes))


def test_damaged_data(monkeypatch):
    class Empty:
        def joinpath(self, _):
            return self

        def read_text(self, encoding):
            return "# nothing\nyear,lynx,hare\n"

    monkeypatch.setattr(demo, "files", lambda _: Empty())
    with pytest.raises(ValueError, match="install the package again"):
        demo.read_record()
