"""From a file to a bundle, as people start it: whole, interrupted, taken up again."""

import json
import re
import signal

import pytest

from app.engine.registry import open_models
from model import parity
from model.contract import GRAPHS, METADATA_FILE, METRICS_FILE, REPORT_FILE, Bundle, checksum
from tests.training.conftest import rows, start
from training.__main__ import main
from training.evaluate import OURS
from training.publish import next_version, published

TINY = (
    "--target", "load", "--series", "site", "--covariates", "rain", "--future-covariates", "holiday", "--horizon", "6",
    "--units", "6", "--window", "48", "--burn-in", "24", "--batch", "4", "--seasons", "24", "--name", "site-load",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "history.csv"
    path.write_text("\n".join(rows()) + "\n")
    return path


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    """What a fit printed and the directory it wrote to."""
    out = tmp_path_factory.mktemp("out") / "models"
    program = start("fit", "--data", data, "--out", out, "--steps", 30, *TINY)
    said, complaint = program.communicate(timeout=110)
    assert (program.returncode, complaint) == (0, "")
    return said, out


def bundle(place):
    return Bundle.from_json((place / METADATA_FILE).read_text())


def graphs(place):
    return [(place / f"{name}.onnx").read_bytes() for name in GRAPHS]


def test_a_fit_says_what_it_reads_and_how_it_goes(fitted):
    said, out = fitted
    lines = rows()
    hours = 260 + 250
    assert f"history.csv: 2 series, {hours} steps of 1h, 2026-01-01T00:00:00Z to 2026-01-11T19:00:00Z" in said
    assert (
        f"{hours - len(lines) + 1} of them ({100 * (hours - len(lines) + 1) / hours:.1f} %) have no row in the file"
        in said
    )
    assert re.search(r"step 30 of 30  loss \d\.\d{4}  validation \d\.\d{4} \(best\)  0 s left", said)
    assert "\nseasons: 24, as asked\n" in said
    assert f"Wrote {out}/site-load/1;" in said


def test_a_fit_leaves_a_bundle_and_nothing_else(fitted):
    _, out = fitted
    assert [path.name for path in out.iterdir()] == ["site-load"]
    assert [path.name for path in (out / "site-load").iterdir()] == ["1"]
    written = {path.name for path in (out / "site-load/1").iterdir()}
    assert written == {*(f"{name}.onnx" for name in GRAPHS), METADATA_FILE, METRICS_FILE, REPORT_FILE}


def test_a_bundle_records_how_it_was_made_and_nothing_of_this_machine(fitted, data):
    _, out = fitted
    place = out / "site-load/1"
    made = bundle(place).training
    assert made["command"] == f"python -m training fit --data history.csv --out models --steps 30 {' '.join(TINY)}"
    assert made["data"]["sha256"] == checksum(data)
    assert (made["seed"], made["steps"], made["ended"]) == (0, 30, "last step")
    assert (made["seasons"], made["processes"]) == ("24, as asked", 1)
    assert made["versions"]["torch"]
    assert made["seconds"] > 0
    for name in (METADATA_FILE, METRICS_FILE, REPORT_FILE):
        assert str(data.parent) not in (place / name).read_text()
        assert str(out) not in (place / name).read_text()


def test_a_bundle_can_be_served(fitted):
    _, out = fitted
    models = open_models(out, "cpu", "auto")
    assert models.refused == ()
    assert models.find("site-load", "1").bundle.known_ahead == ("holiday",)


def test_metrics_compare_with_the_baselines(fitted):
    found = json.loads((fitted[1] / "site-load/1" / METRICS_FILE).read_text())
    assert list(found["forecasters"]) == [OURS, "naive", "seasonal-naive-24"]
    assert len(found["by_horizon"][OURS]["wql"]) == 6
    assert [one["id"] for one in found["series"]] == ["north", "south"]
    ours, rival = (found["forecasters"][name]["wql"] for name in (OURS, found["rival"]))
    assert found["better_than_rival"]["wql"] == pytest.approx(1 - ours / rival, abs=1e-4)
    assert found["test"]["origins"] == 2 * (51 - 5 + 1)


def test_a_report_needs_no_network(fitted):
    page = (fitted[1] / "site-load/1" / REPORT_FILE).read_text()
    assert page.count("<svg") == 7
    assert not re.search(r"<script|<link|@import|url\(\s*['\"]?http|(src|href)\s*=\s*['\"]?http", page)
    assert "#0102" not in page, "a stand-in colour was left"
    for text in ("north", "south", "seasonal naive (24 steps)", "--steps 30", "holiday (known ahead)"):
        assert text in page
    assert len(page) < 1_500_000


def test_the_same_seed_gives_the_same_graphs_under_the_next_version(fitted, data, capsys):
    _, out = fitted
    assert main(["fit", "--data", str(data), "--out", str(out), "--steps", "30", *TINY]) == 0
    assert bundle(out / "site-load/2").version == "2"
    assert graphs(out / "site-load/2") == graphs(out / "site-load/1")


def test_nothing_is_written_where_the_exported_graphs_are_not_what_was_trained(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    assert main(["fit", "--data", str(data), "--out", str(tmp_path), "--steps", "2", *TINY]) == 1
    said = capsys.readouterr().err
    assert "differ by" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "site-load").exists()
    assert not list(tmp_path.rglob("*.onnx"))


def test_there_must_be_a_run_to_go_on_with(data, tmp_path, capsys):
    assert main(["fit", "--data", str(data), "--out", str(tmp_path / "models"), "--resume", *TINY]) == 2
    assert "there is no interrupted run to go on with; leave --resume out" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def interrupted_at_first_validation(*arguments, times):
    """Exit code and output of a fit that gets Ctrl-C at its first validation, and again when it says that it heard."""
    program = start("fit", *arguments, *TINY)
    said = []
    for line in program.stdout:
        said.append(line)
        if line.startswith("step ") or (times == 2 and line.startswith("Stopping")):
            program.send_signal(signal.SIGINT)
        if line.startswith("Stopping") or program.poll() is not None:
            break
    rest, complaint = program.communicate(timeout=110)
    return program.returncode, "".join(said) + rest, complaint


@pytest.fixture(scope="module")
def interrupted(data, tmp_path_factory):
    """A fit that is interrupted twice, gone on with and interrupted once, and gone on with to its end."""
    out = tmp_path_factory.mktemp("interrupted") / "models"
    asked = ("--data", data, "--out", out, "--steps", 350)
    stages = []
    for times, more in ((2, ()), (1, ("--resume",))):
        outcome = interrupted_at_first_validation(*asked, *more, times=times)
        stages.append((*outcome, sorted(str(path.relative_to(out)) for path in out.glob("*/*/*.onnx"))))
    return stages, out, asked


def test_a_second_ctrl_c_ends_a_fit_at_once_and_keeps_what_resume_needs(interrupted):
    (code, said, complaint, written), _, _ = interrupted[0][0], *interrupted[1:]
    assert code == 130
    assert complaint == "python -m training: interrupted; no bundle was written\n"
    assert "Ctrl-C once more ends at once" in said
    assert written == []


def test_ctrl_c_keeps_the_best_so_far_as_a_bundle(interrupted):
    stages, out, _ = interrupted
    code, said, complaint, written = stages[1]
    assert (code, complaint) == (0, "")
    assert re.search(r"Going on from step [5-9]\d of .*\.runs/site-load/checkpoint\.pt", said)
    assert "the same command with --resume goes on from there" in said
    assert written == sorted(f"site-load/1/{name}.onnx" for name in GRAPHS)
    made = bundle(out / "site-load/1").training
    assert made["ended"] == "interrupted"
    assert 100 <= made["steps"] < 350


def test_a_run_taken_up_again_ends_as_if_nothing_had_happened(interrupted, tmp_path, capsys):
    _, out, asked = interrupted
    assert main([*map(str, ("fit", *asked)), "--resume", *TINY, "--batch", "5"]) == 2
    assert "batch is 5, but the interrupted run" in capsys.readouterr().err
    assert main([*map(str, ("fit", *asked)), "--resume", *TINY]) == 0
    assert not (out / ".runs").exists()
    whole = [str(argument).replace(str(out), str(tmp_path)) for argument in ("fit", *asked)]
    assert main([*whole, *TINY]) == 0
    assert graphs(out / "site-load/2") == graphs(tmp_path / "site-load/1")


def test_versions_are_numbered_on(tmp_path):
    for name in ("1", "7", "08", "draft"):
        (tmp_path / "load" / name).mkdir(parents=True)
    assert next_version(tmp_path, "load") == "8"
    assert next_version(tmp_path, "other") == "1"


def test_a_bundle_that_fails_halfway_is_never_seen(tmp_path):
    def fail():
        with published(tmp_path / ".runs/x", tmp_path / "load/1") as draft:
            (draft / "encoder.onnx").write_bytes(b"half")
            assert not (tmp_path / "load").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not (tmp_path / ".runs/x").exists()
    assert not (tmp_path / "load").exists()


def test_a_version_that_appeared_meanwhile_is_not_overwritten(tmp_path):
    def publish():
        with published(tmp_path / "draft", tmp_path / "load/1") as draft:
            (draft / "encoder.onnx").write_bytes(b"ours")
            (tmp_path / "load/1").mkdir(parents=True)
            (tmp_path / "load/1/encoder.onnx").write_bytes(b"theirs")

    with pytest.raises(OSError, match="not empty"):
        publish()
    assert (tmp_path / "load/1/encoder.onnx").read_bytes() == b"theirs"
