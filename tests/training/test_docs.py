"""The documentation names every option."""

from tests.training.conftest import ROOT
from training.config import FitConfig
from training.options import option

GUIDE = (ROOT / "docs/training.md").read_text()


def test_every_option_is_documented_with_its_default():
    for name, field in FitConfig.model_fields.items():
        (line,) = [line for line in GUIDE.splitlines() if line.startswith(f"| `{option(name)} ")]
        if field.is_required():
            assert "must be given" in line
        elif isinstance(field.default, int | float | str):
            assert line.split("|")[3].strip(" `") == str(field.default)


def test_no_option_is_documented_that_is_not_there():
    listed = {line.split("`")[1].split()[0] for line in GUIDE.splitlines() if line.startswith("| `--")}
    assert listed == {
        "--config",
        "--resume",
        "--report",
        "--seeds",
        "--probe-steps",
        *map(option, FitConfig.model_fields),
    }
